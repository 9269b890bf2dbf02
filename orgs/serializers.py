"""What every API of ours asks of a body: known fields only, and integers that are integers.

DRF's IntegerField takes "1_000", "٣", " 7 " and 5.0; a billing API must not (C6).
"""

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

LARGEST_INTEGER: Final = 10**15


class StrictIntegerField(serializers.IntegerField):
    """A JSON integer; no text, no float, no boolean. Bounds as given, never above 10^15."""

    default_error_messages = {
        "invalid": _("A whole number is required, written as a JSON integer."),
        "max_value": _("This must be at most {max_value}."),
        "min_value": _("This must be at least {min_value}."),
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_value", LARGEST_INTEGER)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(data)


class StrictCharField(serializers.CharField):
    """JSON text, as it is: no numbers turned into text, nothing trimmed away."""

    default_error_messages = {"invalid": _("This must be text.")}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a misspelt one is not silently ignored (E2)."""

    default_error_messages = {
        "unknown": _("There is no such field. Known fields: {known}."),
    }

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                known = ", ".join(sorted(self.fields))
                sentence = str(self.error_messages["unknown"]).format(known=known)
                raise serializers.ValidationError({str(name)[:80]: sentence for name in unknown})
        return super().to_internal_value(data)


class OrganizationSerializer(StrictSerializer):
    """`organization`: slug or UUID; absent means the caller's current one (orgs.current)."""

    organization = StrictCharField(required=False, max_length=64)
