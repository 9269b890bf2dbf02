"""`manage.py satellites`: how an operator makes, changes and ends a service token."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from orgs.models import AuditEntry
from quotas.models import ServiceToken
from quotas.satellites import hash_of
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db


def say(*arguments):
    out = StringIO()
    call_command("satellites", *arguments, stdout=out)
    return out.getvalue().strip()


def test_an_operator_makes_rotates_and_revokes_a_token():
    acme = OrganizationFactory.create(slug="acme")

    secret = say("add", "drive", "--meter", "storage", "--organization", "acme")
    token = ServiceToken.objects.get()
    fresh = say("rotate", token.prefix, "--hours", "0")
    listed = say("list").splitlines()
    say("revoke", fresh[:12])

    assert (token.token_hash, token.meters, token.organizations) == (
        hash_of(secret),
        ["storage"],
        [acme.pk],
    )
    assert listed[0] == f"{secret[:12]}\tended\tdrive\tstorage\tnever used"
    assert listed[1] == f"{fresh[:12]}\tlive\tdrive\tstorage\tnever used"
    assert not ServiceToken.objects.live().exists()
    trail = AuditEntry.objects.filter(target="drive").order_by("pk")
    assert list(trail.values_list("action", flat=True)) == [
        "satellites.token_issued",
        "satellites.token_rotated",
        "satellites.token_revoked",
    ]
    assert not any(secret in str(entry.after) or fresh in str(entry.after) for entry in trail)


@pytest.mark.parametrize(
    "wrong",
    [
        ("add", "drive", "--meter", "storag"),
        ("add", "drive", "--organization", "nobody"),
        ("rotate", "lls_unknown"),
        ("revoke", "lls_unknown"),
    ],
)
def test_what_does_not_exist_is_refused_and_nothing_is_made(wrong):
    with pytest.raises(CommandError):
        say(*wrong)

    assert not ServiceToken.objects.exists()
