"""What the page after Checkout says, and whether it asks again by itself."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from billing.presentation.banner import Action
from billing.subscription.checkout import Settled

POLL_SECONDS = 2
POLLS = 30  # a minute; whoever still looks then can reload


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Where the person is: which organization, which session, how often the page has asked."""

    slug: str
    session_id: str
    asked: int
    support: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    title: str
    text: str
    icon: str
    mark: str
    poll_url: str = ""
    actions: tuple[Action, ...] = ()


def of(settled: Settled, visit: Visit) -> Outcome:
    plan = {"plan": settled.plan.name}
    match settled.state:
        case "active":
            return _active(plan, visit)
        case "awaiting_bank":
            return _awaiting_bank(plan, visit)
        case "open" | "expired":
            return _unpaid(visit)
        case "pending":
            return _overdue(plan, visit) if settled.overdue else _pending(plan, visit)


def _active(plan: dict[str, str], visit: Visit) -> Outcome:
    return Outcome(
        title=_("You are on %(plan)s") % plan,
        text=_("The receipt is on its way to your billing address. Everything is switched on."),
        icon="good",
        mark="receipt-mark",
        actions=(_to_billing(visit, primary=True),),
    )


def _pending(plan: dict[str, str], visit: Visit) -> Outcome:
    goes_on = visit.asked < POLLS
    again = Action(label=_("Check again"), url=_here("billing:return", visit), primary=True)
    return Outcome(
        title=_("Payment received, switching you to %(plan)s") % plan,
        text=_("This usually takes a few seconds. You can leave this page."),
        icon="info",
        mark="receipt-mark wait",
        poll_url=_here("billing:return-state", visit, asked=visit.asked + 1) if goes_on else "",
        actions=(_to_billing(visit),) if goes_on else (again, _to_billing(visit)),
    )


def _overdue(plan: dict[str, str], visit: Visit) -> Outcome:
    contact = Action(label=_("Contact billing support"), url=visit.support, primary=True)
    again = Action(label=_("Check again"), url=_here("billing:return", visit))
    return Outcome(
        title=_("This takes longer than it should"),
        text=_(
            "Your payment is safe with Stripe, and %(plan)s switches on as soon as we hear of it. "
            "Please do not pay again. If nothing has changed in an hour, write to us."
        )
        % plan,
        icon="warn",
        mark="receipt-mark warn",
        actions=(again, contact),
    )


def _awaiting_bank(plan: dict[str, str], visit: Visit) -> Outcome:
    return Outcome(
        title=_("Your bank is sending the payment"),
        text=_("This can take a few days. %(plan)s switches on when it arrives.") % plan,
        icon="info",
        mark="receipt-mark wait",
        actions=(_to_billing(visit, primary=True),),
    )


def _unpaid(visit: Visit) -> Outcome:
    return Outcome(
        title=_("The payment was not finished"),
        text=_("Nothing was charged. Choose a plan again whenever you like."),
        icon="warn",
        mark="receipt-mark warn",
        actions=(_to_billing(visit, primary=True),),
    )


def _to_billing(visit: Visit, *, primary: bool = False) -> Action:
    url = reverse("billing:settings", kwargs={"slug": visit.slug})
    return Action(label=_("Back to billing"), url=url, primary=primary)


def _here(view: str, visit: Visit, **more: int) -> str:
    parameters: dict[str, str | int] = {"session_id": visit.session_id, **more}
    query = urlencode(parameters)
    return f"{reverse(view, kwargs={'slug': visit.slug})}?{query}"
