"""An installation whose catalogue cannot be read must not start (`manage.py check`)."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from billing.catalog.loading import CatalogInvalid, current


@register()
def catalogue_is_readable(**_kwargs: Any) -> list[CheckMessage]:
    try:
        current()
    except CatalogInvalid as error:
        return [
            Error(f"{error.path.name}: {problem}", id="billing.E001") for problem in error.problems
        ]
    return []
