"""What billing needs of the floor above and may not import: usage, bound when quotas starts."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from orgs.models import Organization

if TYPE_CHECKING:
    from billing.models import EffectivePlan


@dataclass(frozen=True, kw_only=True)
class CreditsLeft:
    """Prepaid units of one meter that are still there; None never expires."""

    meter: str
    left: int
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ExtraCost:
    """What usage beyond a plan costs in the running period, in minor units."""

    meter: str
    currency: str
    so_far: int
    projected: int


class UsagePort(Protocol):
    """Reads of usage that billing pages and verbs need. Amounts are the meter's own units."""

    def used(self, organization: Organization, meter: str) -> int:
        """The balance of the present period, 0 where nothing was ever used."""

    def head_now(self, organization: Organization) -> datetime | None:
        """The instant under the organization's head lock, None where no head row exists."""

    def credits(self, organization: Organization, most: int | None = None) -> list[CreditsLeft]:
        """By pack, in the order in which they are used; no more than `most` of them."""

    def extras(self, organization: Organization) -> list[ExtraCost]:
        """The very figures of the Usage page."""

    def settle_overage(self, organization: Organization) -> None:
        """Reports what is billed and not reported, before an act that ends a period.

        Call it outside of transactions: what Stripe was told must not be rolled back here.
        """

    def banner(self, effective: "EffectivePlan", reader: Any) -> Any:
        """What every page says of usage that stops, soon stops, or costs extra.

        A `Reader` and a `Banner | None`; named loosely, since verbs use this port and pages verbs.
        """


class NoUsage:
    """Stands in where quotas is not installed: nothing was used."""

    def used(self, organization: Organization, meter: str) -> int:
        return 0

    def head_now(self, organization: Organization) -> datetime | None:
        return None

    def credits(self, organization: Organization, most: int | None = None) -> list[CreditsLeft]:
        return []

    def extras(self, organization: Organization) -> list[ExtraCost]:
        return []

    def settle_overage(self, organization: Organization) -> None:
        return

    def banner(self, effective: "EffectivePlan", reader: Any) -> Any:
        return None


class _Ports:
    usage: UsagePort = NoUsage()


_ports = _Ports()


def bind_usage(port: UsagePort) -> None:
    """Called once, by the app that owns usage, when it starts."""
    _ports.usage = port


def usage() -> UsagePort:
    return _ports.usage
