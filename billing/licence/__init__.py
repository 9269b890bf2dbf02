"""Licences of self-hosted installations: signed by the vendor, judged here, capping every plan."""
