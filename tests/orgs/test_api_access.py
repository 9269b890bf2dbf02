"""API calls: personal tokens, the organization they mean, the capability they need."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from orgs import members, organizations, tokens
from orgs.authentication import PersonalTokenAuthentication
from orgs.current import organization_for
from orgs.exceptions import Unprocessable
from orgs.models import AuditEntry, PersonalToken, Role
from orgs.permissions import capability
from tests.factories.orgs import (
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    api_token_for,
    member_of,
    owner_of,
    personal_organization,
)

pytestmark = pytest.mark.django_db


class Named(APIView):
    """Answers with the organization that the call means."""

    permission_classes = [capability("status.view", write="billing.manage")]

    def get(self, request):
        return Response({"slug": organization_for(request).slug})

    post = get


class SessionNamed(Named):
    authentication_classes = [PersonalTokenAuthentication, SessionAuthentication]


def call(method="get", path="/api/x", secret=None, body=None, **options):
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    request = getattr(APIRequestFactory(), method)(
        path, body, format="json" if method == "post" else None, headers=headers, **options
    )
    return Named.as_view()(request)


def test_a_token_acts_in_its_owners_current_organization():
    organization = OrganizationFactory.create()

    answer = call(secret=api_token_for(owner_of(organization)))

    assert answer.data == {"slug": organization.slug}


@pytest.mark.parametrize("name", ["slug", "id"])
def test_a_call_names_its_organization_by_slug_or_id(name):
    organization = OrganizationFactory.create()
    secret = api_token_for(owner_of(organization))
    personal = personal_organization(owner_of(organization))
    wanted = str(getattr(personal, name))

    by_query = call(path=f"/api/x?organization={wanted}", secret=secret)
    by_body = call("post", secret=secret, body={"organization": wanted})

    assert by_query.data == by_body.data == {"slug": personal.slug}


@pytest.mark.parametrize("name", ["slug", "id"])
def test_a_foreign_organization_is_not_found_by_slug_or_id(name):
    foreign = OrganizationFactory.create()
    secret = api_token_for(UserFactory.create())

    answer = call(path=f"/api/x?organization={getattr(foreign, name)}", secret=secret)
    unknown = call(path="/api/x?organization=nothing-here", secret=secret)

    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert answer.data["code"] == unknown.data["code"] == "organization_not_found"
    assert answer.data["detail"] == unknown.data["detail"]


@pytest.mark.parametrize("value", [1, True, ["a"], {"slug": "a"}, "a\x00b"])
def test_an_organization_that_is_no_name_is_refused(value):
    secret = api_token_for(UserFactory.create())

    answer = call("post", secret=secret, body={"organization": value})

    assert answer.status_code == 422
    assert answer.data["field"] == "organization"


def test_query_and_body_must_agree():
    organization = OrganizationFactory.create()
    secret = api_token_for(owner_of(organization))
    other = personal_organization(owner_of(organization))

    answer = call(
        "post",
        path=f"/api/x?organization={organization.slug}",
        secret=secret,
        body={"organization": other.slug},
    )

    assert answer.status_code == 422


def test_without_a_current_organization_the_personal_one_is_meant():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    secret = api_token_for(owner)

    organizations.close(organization, actor=owner)

    assert call(secret=secret).data == {"slug": personal_organization(owner).slug}


def test_reading_and_writing_can_need_different_capabilities():
    organization = OrganizationFactory.create()
    secret = api_token_for(member_of(organization))

    assert call(secret=secret).status_code == 200
    refused = call("post", secret=secret, body={})

    assert refused.status_code == 403
    assert refused.data["code"] == "not_allowed"
    assert refused.data["roles"] == ["owner"]


def test_a_removed_members_token_reaches_the_organization_no_more():
    organization = OrganizationFactory.create()
    membership = MembershipFactory.create(organization=organization)
    secret = api_token_for(membership.user)
    path = f"/api/x?organization={organization.slug}"
    before = call(path=path, secret=secret).status_code

    members.remove(membership, actor=owner_of(organization))

    assert (before, call(path=path, secret=secret).status_code) == (200, 404)


def test_a_demotion_holds_for_a_token_at_the_next_call():
    organization = OrganizationFactory.create()
    owner = MembershipFactory.create(organization=organization, role=Role.OWNER)
    secret = api_token_for(owner.user)
    body = {"organization": organization.slug}
    before = call("post", secret=secret, body=body).status_code

    members.change_role(owner, Role.MEMBER, actor=owner_of(organization))

    assert (before, call("post", secret=secret, body=body).status_code) == (200, 403)


def test_a_token_is_shown_once_and_stored_as_a_hash():
    secret = api_token_for(UserFactory.create())

    rows = str(list(PersonalToken.objects.values())) + str(list(AuditEntry.objects.values()))

    assert secret not in rows
    assert secret[:12] in rows


@pytest.mark.parametrize("how", ["revoked", "expired", "inactive", "unknown", "malformed", "other"])
def test_a_dead_token_opens_nothing(how):
    user = UserFactory.create()
    token, secret = tokens.issue(user, "test")
    if how == "revoked":
        tokens.revoke(token, actor=user)
    if how == "expired":
        PersonalToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if how == "inactive":
        type(user).objects.update(is_active=False)
    wrong = {"unknown": "llp_" + "x" * 43, "malformed": f"{secret} {secret}", "other": "abc"}

    answer = call(secret=wrong.get(how, secret))

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("parameter", ["token", "access_token", "anything"])
def test_a_token_in_the_url_is_refused(parameter):
    secret = api_token_for(UserFactory.create())

    alone = call(path=f"/api/x?{parameter}={secret}")
    with_header = call(path=f"/api/x?{parameter}={secret}", secret=secret)

    assert (alone.status_code, with_header.status_code) == (401, 401)
    assert "Authorization header" in alone.data["detail"]


def test_a_service_token_is_left_to_the_calls_that_know_it():
    request = APIRequestFactory().get("/api/x", headers={"authorization": "Bearer lls_abc"})

    assert PersonalTokenAuthentication().authenticate(APIView().initialize_request(request)) is None
    assert call(secret="lls_abc").status_code == 401


def test_a_reading_token_does_not_write():
    organization = OrganizationFactory.create()
    secret = api_token_for(owner_of(organization), scopes=["read"])

    assert call(secret=secret).status_code == 200
    assert call("post", secret=secret, body={}).status_code == 403


@pytest.mark.parametrize("scopes", [[], ["admin"], ["read", "everything"]])
def test_a_token_has_known_scopes(scopes):
    user = UserFactory.create()

    with pytest.raises(Unprocessable):
        tokens.issue(user, "test", scopes=scopes)

    assert not user.api_tokens.exists()


def test_the_last_use_is_noted_at_most_once_a_minute(time_machine):
    start = timezone.now()
    user = UserFactory.create()
    secret = api_token_for(user)

    seen: list[Any] = []
    for seconds in (0, 30, 61):
        time_machine.move_to(start + timedelta(seconds=seconds), tick=False)
        call(secret=secret)
        seen.append(user.api_tokens.get().last_used_at)

    assert seen[0] == seen[1]
    assert seen[2] - seen[0] == timedelta(seconds=61)


def test_a_session_needs_the_csrf_token_where_a_bearer_does_not():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    request = APIRequestFactory(enforce_csrf_checks=True).post("/api/x", {}, format="json")
    request.user = owner

    by_session = SessionNamed.as_view()(request)
    by_token = call("post", secret=api_token_for(owner), body={})

    assert (by_session.status_code, by_token.status_code) == (403, 200)


def test_nobody_is_no_member():
    request = APIRequestFactory().get("/api/x")
    force_authenticate(request, user=AnonymousUser())

    assert Named.as_view()(request).status_code in {401, 403}
