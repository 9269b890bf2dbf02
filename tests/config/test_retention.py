"""What is kept how long: enforced in batches, and told in docs/privacy.md."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from djstripe.models import Event

from billing import tasks
from billing.models import CheckoutIntent, InboxEvent, OutboxMessage, ReconcileRun
from orgs import retention
from orgs.models import Invitation, PersonalToken, Session
from orgs.sessions import SessionStore
from quotas.models import NoticeDelivery, NoticeType
from quotas.notices import endpoints
from tests.factories.orgs import InvitationFactory, UserFactory, personal_organization
from tests.factories.plans import PlanPriceFactory
from tests.factories.quotas import SatelliteFactory


def ago(days):
    return timezone.now() - timedelta(days=days)


def inbox(name, *, days, state="done"):
    InboxEvent.objects.create(
        event_id=name, type="x", customer_id="cus_x", livemode=False, state=state,
        payload={"said": name}, received_at=ago(days),
    )  # fmt: skip


def kept(model, field="event_id", **having):
    return set(model.objects.filter(**having).values_list(field, flat=True))


@pytest.mark.django_db
def test_events_lose_their_contents_first_and_go_later():
    for days in (29, 31, 179, 181):
        inbox(f"after {days}", days=days)
    inbox("dead", days=31, state="dead")
    inbox("waiting", days=500, state="waiting")
    for name, days in (("young", 29), ("old", 31)):
        Event.objects.create(id=name, livemode=False, type="x", data={}, stripe_data={})
        Event.objects.filter(id=name).update(djstripe_created=ago(days))

    tasks.enforce_retention.run()

    assert kept(InboxEvent) == {"after 29", "after 31", "after 179", "dead", "waiting"}
    assert kept(InboxEvent, payload={}) == {"after 31", "after 179"}
    assert kept(Event, "id") == {"young"}


@pytest.mark.django_db
def test_mails_keep_their_keys_and_what_waits_is_left_alone():
    for once_per, days, state in (
        ("fresh", 29, "sent"), ("sent", 31, "sent"), ("dead", 31, "dead"),
        ("waiting", 900, "waiting"), ("ancient", 801, "sent"),
    ):  # fmt: skip
        OutboxMessage.objects.create(
            kind="mail.receipt", once_per=once_per, state=state, payload={"to": "ann"},
            created_at=ago(days),
        )  # fmt: skip
    endpoint, _secret = endpoints.add(SatelliteFactory.create(), "https://drive.example/n")
    for days, state in ((29, "sent"), (31, "sent"), (31, "waiting")):
        NoticeDelivery.objects.create(
            endpoint=endpoint, type=NoticeType.TEST, payload={}, state=state, created_at=ago(days)
        )

    tasks.enforce_retention.run()

    assert kept(OutboxMessage, "once_per") == {"fresh", "sent", "dead", "waiting"}
    assert kept(OutboxMessage, "once_per", payload={}) == {"sent", "dead"}
    assert sorted(NoticeDelivery.objects.values_list("state", flat=True)) == ["sent", "waiting"]


@pytest.mark.django_db
def test_people_leave_no_sign_ins_invitations_and_keys_behind():
    person = UserFactory.create()
    for days in (29, 31):
        AccessAttempt.objects.create(username=f"{days}@x.example", failures_since_start=1)
        AccessLog.objects.create(username=f"{days}@x.example")
        for model in (AccessAttempt, AccessLog):
            model.objects.filter(username=f"{days}@x.example").update(attempt_time=ago(days))
    for days in (89, 91):
        InvitationFactory.create(email=f"{days}@x.example", expires_at=ago(days))
    for days in (364, 366):
        PersonalToken.objects.create(
            user=person, name=str(days), token_hash=str(days), revoked_at=ago(days)
        )
    for seconds in (60, -60):
        session = SessionStore()
        session.set_expiry(seconds)
        session.save()
    cache.set("fresh", 1, 60)
    cache.set("stale", 1, 60)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_cache SET expires = now() - interval '1 hour'"
                       " WHERE cache_key LIKE '%%stale'")  # fmt: skip

    tasks.enforce_retention.run()

    assert kept(AccessAttempt, "username") == kept(AccessLog, "username") == {"29@x.example"}
    assert kept(Invitation, "email") == {"89@x.example"}
    assert kept(PersonalToken, "name") == {"364"}
    assert Session.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_cache")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db
def test_many_rows_go_in_batches_and_a_rule_that_fails_holds_up_no_other(monkeypatch, caplog):
    monkeypatch.setattr(retention, "BATCH", 10)
    ReconcileRun.objects.bulk_create(ReconcileRun(started_at=ago(91)) for _ in range(25))
    sizes = []
    delete = retention.delete

    def counted(found, most):
        sizes.append(most)
        return delete(found, most)

    def fails(before, most):
        raise RuntimeError

    monkeypatch.setattr(retention, "delete", counted)
    broken = retention.Rule(name="broken", what="", forget=fails)
    monkeypatch.setattr(retention, "_RULES", {"broken": broken, **retention._RULES})

    gone = retention.enforce()

    assert gone["reconciles"] == 25
    assert not ReconcileRun.objects.exists()
    assert set(sizes) == {10}
    assert "alert.retention_failed" in caplog.text


@pytest.mark.django_db
def test_links_to_checkout_pages_do_not_outlive_them():
    price = PlanPriceFactory.create()
    organization = personal_organization(UserFactory.create())
    for days, state in ((0, "completed"), (2, "completed"), (2, "open")):
        CheckoutIntent.objects.create(
            organization=organization, price=price, seats=1, state=state,
            url="https://checkout.stripe.com/c", completed_at=ago(days), expires_at=ago(days),
        )  # fmt: skip

    tasks.enforce_retention.run()

    assert CheckoutIntent.objects.filter(url="").count() == 1
    assert CheckoutIntent.objects.get(url="").state == "completed"


def test_the_page_about_privacy_tells_every_rule_with_its_days():
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text()
    table = dict(re.findall(r"^\| ([^|]+?) \| [^|]+ \| ([^|]+?) \|", page, flags=re.MULTILINE))

    for rule in retention.all_rules():
        said = table[rule.name]
        if rule.days:
            assert f"{settings.KEEP_DAYS[rule.days]} days" in said
            assert f"KEEP_{rule.days.upper()}_DAYS" in said
