"""A name that is code, a formula, a header, a log line: text in every page, mail, file and log."""

import csv
import io
import json
import re
import zipfile

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.urls import reverse

from billing.messages import outbox
from billing.models import Invoice, OutboxMessage
from orgs import members, tokens
from orgs.models import Organization, PersonalToken, User
from orgs.names import shows_as_it_is
from orgs.owned_data import exports
from quotas.models import Satellite
from tests.architecture import canary, urlconf
from tests.architecture.asking import undone
from tests.architecture.test_url_matrix import admin_lists
from tests.architecture.url_rules import RULES, SAFE, Who
from tests.billing import selling
from tests.billing.test_mails import BILLING
from tests.billing.test_pages_shell import inline_code_of
from tests.factories.orgs import owner_of

HOSTILE = (
    "=HYPERLINK(1)<img src=x onerror=alert(1)>\"' hx-get=/evil {{7*7}}"
    "\u202egnp.\u200b\r\nBcc: x@evil.example\x1b[31m"
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
UNSEEN = (
    "An\u202egnp.exe", "\u200b\u200b", "An\r\nBcc: x@evil.example", "An\x1b[31m", "An\x00",
    "An\u2028Binh", "\u2066An", "\ufeffAn", "\u200d",
)  # fmt: skip
# Persian, and a family of two, are written with joiners that cannot be seen.
SEEN = ("Nguyễn Thị Ánh", "می\u200cخواهم", "👩\u200d👧", "O'Brien & Söhne <GmbH>", "=2+2")  # noqa: RUF001


@pytest.fixture
def hostile(world):
    """Everything in both organizations that carries a name carries this one."""
    selling.pays(world.own)
    selling.invoice(world.own, number=HOSTILE[:60], lines=[{"description": HOSTILE}])
    User.objects.update(name=HOSTILE)
    Organization.objects.update(name=HOSTILE)
    tokens.issue(world.people["owner"], "named")
    PersonalToken.objects.update(name=HOSTILE[:80])
    Satellite.objects.create(key="drive", name=HOSTILE[:80])
    world.people = {name: User.objects.get(pk=user.pk) for name, user in world.people.items()}
    return world


def test_a_hostile_name_is_text_on_every_page_and_partial_and_in_every_file_and_log_line(hostile):
    complaints = []
    with canary.watching() as watched:
        for client, path in pages_of(hostile):
            with undone():
                response = client.get(path)
                body = b"".join(response).decode()
            complaints += [f"{path}: {wrong}" for wrong in wrong_with(response, body)]
        agent = {"user-agent": f"curl{HOSTILE}".replace("\r\n", "\n")}
        hostile.client("owner").get("/no/such/\x1b[31m%0d%0apage", headers=agent)

    assert complaints == []
    assert len(watched.lines) > 50
    assert [line for line in watched.lines if not is_one_record(line)] == []


def pages_of(world):
    owner, staff = world.client("owner"), world.client("staff")
    for route in urlconf.routes():
        rule = RULES.get(route.pattern)
        if rule is not None and SAFE & set(rule.answers) and rule.who is not Who.SATELLITE:
            yield owner, route.url(world.samples) + "?" + rule.query.format(**world.samples)
    for route in admin_lists():
        if route.name.startswith(("orgs_", "billing_", "quotas_")):
            yield staff, route.url({})


def wrong_with(response, body):
    kind = response.headers.get("Content-Type", "")
    if response.status_code >= 500:
        yield str(response.status_code)
    if any("evil" in f"{name}{value}" for name, value in response.headers.items()):
        yield "a header says the name"
    if kind.startswith("text/html") and "swagger" not in body:
        if "<img src=x" in body or "49" in re.findall(r"hx-get=/evil (\S+)", body):
            yield "the name is markup"
        if inline_code_of(response):
            yield f"inline code: {inline_code_of(response)}"
    if kind.startswith("text/csv"):
        yield from (f"a formula: {cell}" for cell in formulas_of(body))


def formulas_of(text):
    return [cell for row in csv.reader(io.StringIO(text)) for cell in row if is_formula(cell)]


def is_formula(cell):
    return cell.startswith(FORMULA) and not re.fullmatch(r"-?\d+(\.\d+)?", cell)


def is_one_record(line):
    """One line of JSON, with nothing that moves a terminal's cursor."""
    return isinstance(json.loads(line), dict) and not re.search(r"[\r\n\x1b]", line)


def test_a_hostile_name_is_text_in_every_mail_and_in_the_archive(
    hostile, monkeypatch, django_capture_on_commit_callbacks
):
    team = Organization.objects.get(pk=hostile.own.pk)
    owner = owner_of(team)
    monkeypatch.setattr("billing.messages.truth.holds", lambda message: True)
    monkeypatch.setattr("billing.messages.outbox._prepare", lambda pk: None)  # asks Stripe
    about = {"invoice": Invoice.objects.get().stripe_id, "plan": "pro", "before": "hobby"}
    for kind, payload in BILLING.items():
        known = about | payload | ({"person": HOSTILE} if "person" in payload else {})
        outbox.put(team, f"mail.{kind}", once_per="test", payload=known)
    members.invite(team, "new@example.com", "member", inviter=owner)
    outbox.deliver_due()

    with django_capture_on_commit_callbacks(execute=True):
        export = exports.ask(team, actor=owner)
        exports.build(export.pk)
    _export, pieces = exports.fetch(team, actor=owner)
    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))

    assert [each.last_error for each in OutboxMessage.objects.exclude(last_error="")] == []
    assert len(mail.outbox) > len(BILLING)
    assert [wrong for sent in mail.outbox for wrong in wrong_with_mail(sent)] == []
    files = [name for name in archive.namelist() if name.endswith(".csv")]
    assert len(files) > 5
    assert [cell for name in files for cell in formulas_of(archive.read(name).decode())] == []


def wrong_with_mail(sent):
    written = sent.message()
    if "x@evil.example" in str(written.items()) or sent.bcc:
        yield f"{sent.subject!r}: a header of its own"
    if any(sign in sent.subject for sign in "\r\n"):
        yield f"{sent.subject!r}: not one line"
    for content, kind in sent.alternatives:
        if kind == "text/html" and "<img src=x" in content:
            yield f"{sent.subject!r}: markup"


@pytest.mark.parametrize("name", UNSEEN)
def test_a_name_that_cannot_be_seen_as_it_is_is_refused(name):
    with pytest.raises(ValidationError):
        shows_as_it_is(name)


@pytest.mark.parametrize("name", ["", *SEEN])
def test_a_name_of_any_script_is_taken(name):
    shows_as_it_is(name)


def test_every_form_refuses_what_cannot_be_seen_and_what_is_endless(world):
    client, wrong = world.client("owner"), []

    for path, form in named_places(world).items():
        for name, refused in ((UNSEEN[0], True), ("x" * 10_000, True), (SEEN[0], False)):
            with undone():
                status = client.post(path, form | {"name": name}).status_code
            if (status == 422) != refused:
                wrong.append((path, name[:20], status))

    assert wrong == []


def named_places(world):
    here = {"slug": world.own.slug}
    described = {"language": "vi", "time_zone": "Asia/Ho_Chi_Minh"}
    return {
        reverse("orgs:new"): {},
        reverse("orgs:profile"): described,
        reverse("orgs:describe", kwargs=here): described,
        reverse("orgs:api-keys", kwargs=here): {"scope": "read", "days": "30"},
    }
