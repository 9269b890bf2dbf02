"""What is sold: the catalogue file, validated. `current()` is the door for everyone else."""

from billing.catalog.loading import CatalogInvalid, current
from billing.catalog.schema import Catalog

__all__ = ["Catalog", "CatalogInvalid", "current"]
