"""The one banner of a page, most severe state first: what happened, until when, what to do."""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import catalog, ports
from billing.catalog.money import format_money
from billing.entitlement import beta, clock, debts, store
from billing.models import Access, EffectivePlan, Invoice, PaymentMethod, Source
from billing.presentation import payment_troubles, standing_notes
from billing.presentation.formats import day, moment, time_left
from billing.subscription import resuming, seating
from orgs.models import Membership, Organization, Role


@dataclass(frozen=True, kw_only=True)
class Action:
    label: str
    url: str
    method: str = "get"
    primary: bool = False


@dataclass(frozen=True, kw_only=True)
class Banner:
    title: str
    text: str
    level: str = ""  # bad, warn, good, or empty for information
    icon: str = "info"
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reader:
    """For whom the banner is written: those who cannot pay are told whom to ask."""

    can_pay: bool
    is_staff: bool


def for_reader(effective: EffectivePlan, reader: Reader) -> Banner | None:
    for state in (
        _locked, _in_grace, _owing, _unconfirmed, _lost_beta, _without_seat,
        _paused, _usage, _beta, _ending, _scheduled,
    ):  # fmt: skip
        found = state(effective, reader)
        if found is not None:
            return found
    return None


def _locked(effective: EffectivePlan, reader: Reader) -> Banner | None:
    if effective.access != Access.READ_ONLY:
        return None
    if effective.reason == payment_troubles.DISPUTE_LOST:
        return Banner(**payment_troubles.of_lost_dispute(effective))
    invoice = _owed(effective)
    return Banner(
        title=_("This workspace is read-only"),
        text=" ".join(_sentences_of_lock(effective.organization, invoice, reader)),
        level="bad",
        icon="lock",
        actions=_ways_to_pay(effective.organization, invoice, reader),
    )


def _sentences_of_lock(
    organization: Organization, invoice: Invoice | None, reader: Reader
) -> list[str]:
    keeps = _("You can read, download and export everything.")
    if invoice is None:
        return [keeps]
    if reader.can_pay:
        return [_unpaid(invoice), keeps, _("Paying unlocks the workspace within a minute.")]
    return [_unpaid(invoice), keeps, _ask_the_owner(organization)]


def _unpaid(invoice: Invoice) -> str:
    return _("The %(amount)s invoice from %(day)s is still unpaid.") % {
        "amount": _amount(invoice),
        "day": day(invoice.created_at),
    }


def _in_grace(effective: EffectivePlan, reader: Reader) -> Banner | None:
    ends_at = effective.grace_ends_at
    if ends_at is None:
        return None
    organization = effective.organization
    now = clock.now_for(organization)
    if ends_at <= now:
        return None
    if not reader.can_pay:
        return Banner(
            title=_("Payment failed"),
            text=f"{_what_follows(ends_at)} {_ask_the_owner(organization)}",
            level="bad",
            icon="bad",
            actions=_ways_to_pay(organization, None, reader),
        )
    invoice = _owed(effective)
    sentences = [
        _declined(organization, invoice),
        _pay_or(ends_at),
        _next_attempt(invoice),
    ]
    return Banner(
        title=_("Payment failed. %(left)s left") % {"left": time_left(ends_at, now)},
        text=" ".join(sentence for sentence in sentences if sentence),
        level="bad",
        icon="bad",
        actions=_ways_to_pay(organization, invoice, reader),
    )


def _owing(effective: EffectivePlan, reader: Reader) -> Banner | None:
    """The plan went with it, or never began; nothing is locked, and nothing can be bought."""
    if effective.source != Source.DEFAULT or not reader.can_pay:
        return None
    invoice = debts.of(effective)
    if invoice is None:
        return None
    return Banner(
        title=_("An invoice is unpaid"),
        text=" ".join([_unpaid(invoice), _("You can choose a plan again when it is paid.")]),
        level="warn",
        icon="warn",
        actions=_ways_to_pay(effective.organization, invoice, reader),
    )


def _what_follows(ends_at: datetime) -> str:
    """The end of grace as the catalogue has it: the lock, or the default plan."""
    sold = catalog.current()
    if sold.dunning.at_end == "lock":
        return _("The workspace becomes read-only on %(moment)s.") % {"moment": moment(ends_at)}
    default = {"plan": sold.plans[sold.default_plan].name, "moment": moment(ends_at)}
    return _("The plan changes to %(plan)s on %(moment)s.") % default


def _pay_or(ends_at: datetime) -> str:
    sold = catalog.current()
    if sold.dunning.at_end == "lock":
        deadline = {"moment": moment(ends_at)}
        return _("Pay by %(moment)s or the workspace becomes read-only.") % deadline
    default = {"plan": sold.plans[sold.default_plan].name, "moment": moment(ends_at)}
    return _("Pay by %(moment)s or the plan changes to %(plan)s.") % default


def _declined(organization: Organization, invoice: Invoice | None) -> str:
    if invoice is None:
        return ""
    if invoice.needs_confirmation:
        return _("Your bank wants you to confirm %(amount)s.") % {"amount": _amount(invoice)}
    card = PaymentMethod.objects.filter(organization=organization, is_default=True).first()
    if card is None or not card.last4:
        return _("Your bank declined %(amount)s.") % {"amount": _amount(invoice)}
    return _("Your bank declined the %(brand)s ending in %(last4)s for %(amount)s.") % {
        "brand": card.brand.title() or card.type,
        "last4": card.last4,
        "amount": _amount(invoice),
    }


def _next_attempt(invoice: Invoice | None) -> str:
    if invoice is None or invoice.next_payment_attempt is None:
        return ""
    return _("We try the card again on %(day)s.") % {"day": day(invoice.next_payment_attempt)}


def _unconfirmed(effective: EffectivePlan, reader: Reader) -> Banner | None:
    """A change that waits for the bank: nothing of it is given, or owed, until it is paid."""
    if not reader.can_pay or effective.source != Source.STRIPE:
        return None
    found = payment_troubles.of_pending_change(effective)
    if found is None:
        return None
    action = Action(label=_("Confirm the payment"), url=found.pop("url"), primary=True)
    return Banner(**found, actions=(action,))


def _paused(effective: EffectivePlan, reader: Reader) -> Banner | None:
    """Stripe's own trial ended without a card: with one it goes on."""
    is_paused = any(step["outcome"] == "status_paused" for step in effective.trace)
    if not reader.can_pay or not is_paused or resuming.paused(effective.organization) is None:
        return None
    slug = {"slug": effective.organization.slug}
    has_card = PaymentMethod.objects.filter(organization=effective.organization).exists()
    resume = Action(
        label=_("Resume and pay"), url=reverse("billing:resume", kwargs=slug), method="post",
        primary=True,
    )  # fmt: skip
    card = Action(
        label=_("Add a card"), url=reverse("billing:portal", kwargs=slug), method="post",
        primary=True,
    )  # fmt: skip
    return Banner(
        title=_("Your subscription is paused"),
        text=_("The trial has ended and nothing was charged. Everything is kept."),
        level="warn",
        icon="warn",
        actions=(resume,) if has_card else (card,),
    )


def _without_seat(effective: EffectivePlan, reader: Reader) -> Banner | None:
    if not reader.can_pay:
        return None
    people = seating.without_seat(effective)
    if not people:
        return None
    wanted = effective.seats + people
    url = reverse("billing:change", kwargs={"slug": effective.organization.slug})
    return Banner(
        title=ngettext("%(n)d person has no paid seat", "%(n)d people have no paid seat", people)
        % {"n": people},
        text=_("%(seats)s seats are paid for. Everybody keeps working.")
        % {"seats": effective.seats},
        level="warn",
        icon="warn",
        actions=(
            Action(
                label=_("Pay for %(seats)s seats") % {"seats": wanted},
                url=f"{url}?seats={wanted}",
                primary=True,
            ),
        ),
    )


def _usage(effective: EffectivePlan, reader: Reader) -> Banner | None:
    found: Banner | None = ports.usage().banner(effective, reader)
    return found


def _beta(effective: EffectivePlan, reader: Reader) -> Banner | None:
    if not effective.is_beta:
        return None
    text = _("Enjoy it, and tell us what is missing.")
    if reader.is_staff:
        text = " ".join([_("Stripe is not connected on this server."), _missing()]).strip()
    return Banner(title=_("Beta: every feature is on, nothing is charged"), text=text)


def _lost_beta(effective: EffectivePlan, reader: Reader) -> Banner | None:
    """For those who run the server alone: nobody else can do anything about it."""
    if not reader.is_staff or not beta.is_lost():
        return None
    return Banner(
        title=_("Stripe is not fully connected"),
        text=" ".join([_("This server has billed before, so it is no beta."), _missing()]),
        level="bad",
        icon="bad",
    )


def _missing() -> str:
    names = beta.missing()
    return _("Missing: %(names)s.") % {"names": ", ".join(names)} if names else ""


def _ending(effective: EffectivePlan, reader: Reader) -> Banner | None:
    """A cancellation or a change that was decided and can still be undone."""
    if effective.ends_at is None or effective.source != Source.STRIPE or not reader.can_pay:
        return None
    plan = effective.plan.name
    undo = Action(
        label=_("Keep %(plan)s") % {"plan": plan},
        url=reverse("billing:keep", kwargs={"slug": effective.organization.slug}),
        method="post",
    )
    return Banner(
        title=_("%(plan)s ends on %(day)s") % {"plan": plan, "day": day(effective.ends_at)},
        text=_("You keep %(plan)s until then. Nothing is deleted.") % {"plan": plan},
        actions=(undo,),
    )


def _scheduled(effective: EffectivePlan, reader: Reader) -> Banner | None:
    """Another plan or fewer seats from the renewal on; undoable until then."""
    if effective.source != Source.STRIPE or not reader.can_pay:
        return None
    found = standing_notes.scheduled(standing_notes.standing_of(effective.organization))
    if found is None:
        return None
    plan = effective.plan.name
    undo = Action(
        label=_("Undo"),
        url=reverse("billing:keep", kwargs={"slug": effective.organization.slug}),
        method="post",
    )
    return Banner(
        title=_("Changing to %(plan)s, %(what)s, on %(day)s")
        % {"plan": found.plan, "what": found.what, "day": found.day},
        text=_("Everything stays as it is until then: %(plan)s.") % {"plan": plan},
        actions=(undo,),
    )


def _owed(effective: EffectivePlan) -> Invoice | None:
    """The one that the verdict rests on: written off or due by transfer, too."""
    failed = Invoice.objects.filter(
        organization=effective.organization, status=Invoice.Status.OPEN, attempt_count__gt=0
    )
    return debts.of(effective) or failed.order_by("created_at").first()


def ways_out(organization: Organization, reader: Reader) -> tuple[Action, ...]:
    """What somebody can do about an unpaid invoice: pay it, or ask who can."""
    return _ways_to_pay(organization, _owed(store.current(organization)), reader)


def _ways_to_pay(
    organization: Organization, invoice: Invoice | None, reader: Reader
) -> tuple[Action, ...]:
    if not reader.can_pay:
        ask = reverse("billing:notify-owner", kwargs={"slug": organization.slug})
        return (Action(label=_("Notify owner"), url=ask, method="post"),)
    portal = reverse("billing:portal", kwargs={"slug": organization.slug})
    another = Action(label=_("Use another card"), url=portal, method="post")
    if invoice is None or not invoice.hosted_url:
        return (another,)
    label = _("Confirm %(amount)s") if invoice.needs_confirmation else _("Pay %(amount)s")
    label %= {"amount": _amount(invoice)}
    return (another, Action(label=label, url=invoice.hosted_url, primary=True))


def _ask_the_owner(organization: Organization) -> str:
    owner = (
        Membership.objects.filter(organization=organization, role=Role.OWNER)
        .select_related("user")
        .order_by("joined_at", "pk")
        .first()
    )
    if owner is None:
        return ""
    return _("Ask %(owner)s to update the card.") % {"owner": owner.user}


def _amount(invoice: Invoice) -> str:
    return format_money(invoice.amount_remaining, invoice.currency)
