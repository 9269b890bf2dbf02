"""The HTTP contract (DESIGN 5): the same calls for Django REST framework and for the hot path."""
