"""Every mail: text and HTML, both languages, one action, no word left in English, sent once."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core import mail
from django.utils import timezone

from billing.catalog import loading
from billing.entitlement import store
from billing.messages import letters, mails, outbox
from billing.models import Invoice, OutboxMessage
from orgs import members, messages
from orgs.models import Role
from tests.billing.selling import pays, put_on_sale, unpaid
from tests.factories.orgs import OrganizationFactory, member_of, owner_of

pytestmark = pytest.mark.django_db

FOLDER = Path(project.BASE_DIR) / "templates" / "emails"
# Kind → what its message carries beside the invoice and the plan.
BILLING: dict[str, dict[str, Any]] = {
    "welcome": {},
    "receipt": {},
    "payment_failed": {},
    "payment_wanted": {"person": "Ann"},
    "grace_ending": {},
    "locked": {},
    "unlocked": {},
    "downgraded": {},
    "trial_ending": {"charges": False},
    "grant_ending": {},
    "credit_added": {"code": "WELCOME", "amount": 500, "currency": "usd"},
    "subscription_ended_duplicate": {"refunds": True},
    "subscription_ended_organization_closed": {"refunds": True},
    "subscription_ended_tried_before": {"refunds": False},
}
USAGE: dict[str, Any] = {
    "meter": "storage", "threshold": 90, "used": 9, "limit": 10, "stops": True, "billed": False,
    "reached_at": None, "resets_at": None,
}  # fmt: skip


@pytest.fixture
def team(db):
    """On Pro, with a failed invoice and a day and a half of grace left."""
    put_on_sale()
    organization = OrganizationFactory.create(name="Lotus", slug="lotus")
    store.current(organization)
    ends_at = timezone.now() + timedelta(hours=36)
    pays(organization, grace_ends_at=ends_at, ends_at=ends_at, status="trialing")
    unpaid(organization)
    return organization


def sent(team, kind, payload, language, monkeypatch):
    """The one mail of this kind, as it leaves; what it says is taken for true."""
    monkeypatch.setattr("billing.messages.truth.holds", lambda message: True)
    monkeypatch.setattr(outbox, "_preparations", {})
    team.language = language
    team.save()
    invoice = Invoice.objects.get(organization=team).stripe_id
    known = {"invoice": invoice, "plan": "pro", "before": "hobby"}
    for _twice in range(2):
        outbox.put(team, f"mail.{kind}", once_per="test", payload=known | payload)
    mail.outbox.clear()
    outbox.deliver_due()
    (letter,) = mail.outbox
    return letter


def english_pieces(text):
    """What the templates say between their values, where it was left as it is written there."""
    return [piece for piece in PIECES if piece in text]


def _pieces():
    texts = "\n".join(file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.txt"))
    plain = re.findall(r'translate "([^"]+)"', texts)
    blocks = re.findall(r"blocktranslate[^%]*%}(.*?){%", texts)
    pieces = {piece.strip() for found in plain + blocks for piece in re.split("{{.*?}}", found)}
    return sorted(piece for piece in pieces if len(piece) > 9)


PIECES = _pieces()


@pytest.mark.parametrize("language", ["en", "vi"])
def test_every_mail_has_two_parts_one_action_and_speaks_the_organizations_language(
    team, language, monkeypatch
):
    payloads = BILLING | {"limit_approaching": USAGE, "limit_reached": USAGE | {"threshold": 100}}
    complaints = [
        f"{kind}: {wrong}"
        for kind, payload in payloads.items()
        for wrong in wrong_with(sent(team, kind, payload, language, monkeypatch), kind, language)
    ]

    assert complaints == []


def wrong_with(letter, kind, language):
    html, mime = letter.alternatives[0]
    everything = letter.subject + letter.body + html
    links = re.findall(r'href="([^"]+)"', html)
    if mime != "text/html" or f'lang="{language}"' not in html:
        yield "the second part is no page in its language"
    if not letter.subject.strip() or "\n" in letter.subject:
        yield "no subject"
    if len(links) != (kind != "subscription_ended_organization_closed"):
        yield f"{len(links)} actions"
    if not all(link.startswith(project.SITE_URL) and link in letter.body for link in links):
        yield f"{links} are not ours, or not in the text"
    if re.search(r"\{[{%]|%\(|None", everything):
        yield "a value is missing"
    if language == "vi" and english_pieces(everything):
        yield f"still English: {english_pieces(everything)}"


def test_every_template_of_a_mail_is_tested():
    """Leads go to the sellers, and a deletion to its owners; both have tests of their own."""
    found = {file.stem for file in FOLDER.rglob("*.txt")}

    assert found == {
        *BILLING, "limit_approaching", "limit_reached", "invitation", "ownership", "leads",
        "deletion",
    }  # fmt: skip
    for file in FOLDER.rglob("*.txt"):
        assert file.with_suffix(".html").is_file()


@pytest.fixture
def posted():
    """Letters of people go through the outbox, as they do outside of tests."""
    former = messages.bind_post_office(letters.post)
    yield
    messages.bind_post_office(former)


@pytest.mark.parametrize("language", ["en", "vi"])
def test_invitations_and_hand_overs_leave_through_the_outbox_once_and_keep_no_secret(
    team, posted, language
):
    team.language = language
    team.save()
    heir = member_of(team)
    members.invite(team, "new@x.test", Role.MEMBER, inviter=owner_of(team))
    members.hand_over(team.memberships.get(user=heir), owner=owner_of(team))
    waiting = str(list(OutboxMessage.objects.values_list("payload", "once_per")))
    mail.outbox.clear()
    for _twice in range(2):
        outbox.deliver_due()

    letters_sent = {letter.to[0]: letter for letter in mail.outbox}
    assert set(letters_sent) == {"new@x.test", heir.email}
    assert len(mail.outbox) == 2
    for letter in mail.outbox:
        html = str(letter.alternatives[0][0])
        (link,) = re.findall(r'href="([^"]+)"', html)
        assert link in letter.body
        assert f'lang="{language}"' in html
        assert link.rstrip("/").rpartition("/")[2] not in waiting or "members" in link
        if language == "vi":
            assert english_pieces(letter.body + html) == []
    assert set(OutboxMessage.objects.values_list("state", flat=True)) == {"sent"}
    assert all(not m.payload for m in OutboxMessage.objects.filter(kind__startswith="letter."))


KINDS = {"invitation", "ownership", "receipt", "welcome", "trial_ending"}


def test_each_kind_can_be_switched_off_in_the_catalogue(team, posted, settings, tmp_path):
    text = loading.path_of("suite").read_text(encoding="utf-8")
    left = {}
    member_of(team)
    for kind in sorted(KINDS):
        path = tmp_path / f"{kind}.toml"
        path.write_text(text.replace("[beta]", f"[mail]\n{kind} = false\n\n[beta]", 1), "utf-8")
        settings.CATALOG = str(path)
        OutboxMessage.objects.all().delete()
        owner = owner_of(team)
        members.invite(team, f"{kind}@x.test", Role.MEMBER, inviter=owner)
        members.hand_over(team.memberships.exclude(user=owner).get(), owner=owner)
        for name in ("receipt", "welcome", "trial_ending"):
            mails.announce(team, name, once_per="1")
        kinds = OutboxMessage.objects.values_list("kind", flat=True)
        left[kind] = {found.partition(".")[2] for found in kinds}

    assert left == {kind: KINDS - {kind} for kind in KINDS}
