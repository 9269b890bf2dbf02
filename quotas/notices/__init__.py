"""Notices to satellites (DESIGN 5): signed, in order per organization, repeated until heard."""
