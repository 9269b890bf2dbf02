"""Who may still try: a person, a card and an organization once each, by marks (document 004)."""

from typing import Final

from allauth.account.models import EmailAddress
from django.utils.translation import gettext as _

from billing import catalog
from billing.catalog.policies import Trial
from billing.entitlement import store
from billing.exceptions import TrialRefused
from billing.models import CheckoutIntent, Source, TrialMark
from orgs import marks
from orgs.models import Organization, User

FREE_TO_TRY: Final = frozenset({Source.DEFAULT, Source.BETA})
Kind = TrialMark.Kind


def of_stripe(organization: Organization, person: User, plan_key: str) -> Trial | None:
    """The trial that Stripe is to run for this purchase; None where it was had or is ours."""
    entry = catalog.current().plans.get(plan_key)
    trial: Trial | None = entry.trial if entry else None
    if trial is None or not trial.stripe:
        return None
    return None if refusal(organization, person, trial) else trial


def refusal(organization: Organization, person: User, trial: Trial) -> TrialRefused | None:
    """Why this person may not try this in this organization; None where they may."""
    if not has_verified_address(person):
        return TrialRefused(_("Please confirm your e-mail address first."), reason="not_verified")
    return (
        refusal_of_organization(organization)
        or _refusal_of_person(person, trial)
        or _refusal_of_cards(organization, trial)
    )


def refusal_of_organization(organization: Organization) -> TrialRefused | None:
    tried = TrialMark.objects.filter(kind=Kind.ORGANIZATION, mark=str(organization.pk)).exists()
    if tried or organization.grants.filter(source=Source.TRIAL).exists():
        return TrialRefused(_("This workspace has had its trial."), reason="used_by_organization")
    if organization.subscriptions.exists():
        return TrialRefused(
            _("This workspace has paid before, so there is nothing to try."), reason="has_paid"
        )
    if store.current(organization).source not in FREE_TO_TRY:
        return TrialRefused(_("This workspace has a plan already."), reason="has_plan")
    return None


def has_verified_address(person: User) -> bool:
    return bool(
        EmailAddress.objects.filter(user=person, email=person.email, verified=True).exists()
    )


def person_mark(person: User) -> str:
    """`ann+two@example.com` is the mailbox of `ann@example.com`."""
    name, _at, domain = person.email.lower().rpartition("@")
    return marks.of("person", f"{name.partition('+')[0]}@{domain}")


def remember(organization: Organization, person: User | None) -> None:
    """From now on organization, person and the cards on file have had their trial."""
    found = {(Kind.ORGANIZATION, str(organization.pk))}
    if person is not None:
        found.add((Kind.PERSON, person_mark(person)))
    found |= {(Kind.CARD, mark) for mark in _card_marks(organization)}
    TrialMark.objects.bulk_create(
        [
            TrialMark(kind=kind, mark=mark, organization=organization)
            for kind, mark in sorted(found)
        ],
        ignore_conflicts=True,
    )


def note_stripe_trials(organization: Organization) -> bool:
    """Remembers a trial that Stripe runs; True where its card had one in another organization."""
    trying = organization.subscriptions.filter(status="trialing").first()
    if trying is None:
        return False
    intent = organization.checkout_intents.filter(state=CheckoutIntent.State.COMPLETED).last()
    trial = _trial_of(intent)
    if trial is not None and _tried_with_cards(organization, trial):
        return True
    remember(organization, intent.person if intent else None)
    return False


def _trial_of(intent: CheckoutIntent | None) -> Trial | None:
    entry = catalog.current().plans.get(intent.price.plan.key) if intent else None
    found: Trial | None = entry.trial if entry else None
    return found


def _refusal_of_person(person: User, trial: Trial) -> TrialRefused | None:
    tried = TrialMark.objects.filter(kind=Kind.PERSON, mark=person_mark(person))
    if "person" in trial.once_per and tried.exists():
        return TrialRefused(
            _("You have had a trial in another workspace."), reason="used_by_person"
        )
    return None


def _refusal_of_cards(organization: Organization, trial: Trial) -> TrialRefused | None:
    if _tried_with_cards(organization, trial):
        return TrialRefused(_("This card has been used for a trial before."), reason="used_by_card")
    return None


def _tried_with_cards(organization: Organization, trial: Trial) -> bool:
    if "card" not in trial.once_per:
        return False
    tried = TrialMark.objects.filter(kind=Kind.CARD, mark__in=_card_marks(organization))
    return bool(tried.exclude(organization=organization).exists())


def _card_marks(organization: Organization) -> list[str]:
    known = organization.payment_methods.exclude(card_mark="")
    return list(known.values_list("card_mark", flat=True))
