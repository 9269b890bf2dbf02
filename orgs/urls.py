"""Pages of people and organizations. Slugs are never shaped like a UUID, never reused."""

from django.urls import path

from orgs.views import (
    api_keys,
    audit,
    impersonation,
    invitations,
    members,
    organizations,
    owned_data,
    sessions,
)

app_name = "orgs"

urlpatterns = [
    path("organizations/new/", organizations.new, name="new"),
    path("profile/", organizations.profile, name="profile"),
    path("profile/delete/", organizations.delete_account, name="delete-account"),
    # Below /accounts/, which staff who look at pages as somebody else do not see.
    path("accounts/sessions/", sessions.page, name="sessions"),
    path("impersonation/end/", impersonation.end, name="impersonation-end"),
    path("invitations/<str:token>/", invitations.landing, name="invitation"),
    path("invitations/<str:token>/sign-up/", invitations.sign_up, name="invitation-sign-up"),
    path("invitations/<str:token>/accept/", invitations.accept, name="invitation-accept"),
    path("invitations/<str:token>/decline/", invitations.decline, name="invitation-decline"),
    path("o/<slug:slug>/", organizations.home, name="home"),
    path("o/<slug:slug>/switch/", organizations.switch, name="switch"),
    path("o/<slug:slug>/leave/", members.leave, name="leave"),
    path("o/<slug:slug>/settings/general/", organizations.general, name="general"),
    path("o/<slug:slug>/settings/general/describe/", organizations.describe, name="describe"),
    path("o/<slug:slug>/settings/general/slug/", organizations.change_slug, name="change-slug"),
    path("o/<slug:slug>/settings/general/close/", organizations.close, name="close"),
    path("o/<slug:slug>/settings/data/", owned_data.page, name="data"),
    path("o/<slug:slug>/settings/data/export/", owned_data.ask_export, name="ask-export"),
    path("o/<slug:slug>/settings/data/export/state/", owned_data.state, name="export-state"),
    path(
        "o/<slug:slug>/settings/data/export/download/", owned_data.download, name="download-export"
    ),
    path("o/<slug:slug>/settings/data/delete/", owned_data.ask_deletion, name="ask-deletion"),
    path("o/<slug:slug>/settings/data/keep/", owned_data.undo_deletion, name="undo-deletion"),
    path("o/<slug:slug>/settings/members/", members.page, name="members"),
    path("o/<slug:slug>/settings/members/invite/", members.invite, name="invite"),
    path("o/<slug:slug>/settings/members/hand-over/", members.hand_over, name="hand-over"),
    path(
        "o/<slug:slug>/settings/members/<uuid:membership_id>/role/",
        members.change_role,
        name="change-role",
    ),
    path(
        "o/<slug:slug>/settings/members/<uuid:membership_id>/remove/",
        members.remove,
        name="remove-member",
    ),
    path(
        "o/<slug:slug>/settings/invitations/<uuid:invitation_id>/resend/",
        members.resend,
        name="resend-invitation",
    ),
    path(
        "o/<slug:slug>/settings/invitations/<uuid:invitation_id>/revoke/",
        members.revoke,
        name="revoke-invitation",
    ),
    path("o/<slug:slug>/settings/api-keys/", api_keys.page, name="api-keys"),
    path(
        "o/<slug:slug>/settings/api-keys/<int:token_id>/revoke/",
        api_keys.revoke,
        name="revoke-api-key",
    ),
    path("o/<slug:slug>/settings/audit/", audit.page, name="audit"),
    path("o/<slug:slug>/settings/audit.csv", audit.export, name="audit-csv"),
]
