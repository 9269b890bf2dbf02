"""What acts about usage are called in the audit log."""

from django.utils.translation import gettext_lazy as _

from orgs import audit_texts


def register() -> None:
    audit_texts.register(
        {
            "usage.overage_decided": _("Extra usage decided"),
            "usage.alerts_changed": _("Usage alerts changed"),
            "credits.added": _("Credits added"),
            "credits.taken_back": _("Credits taken back"),
            "enforcement.switched": _("Enforcement switched"),
            "enforcement.undone": _("Switch of enforcement undone"),
            "usage.reconciled": _("Usage reconciled with the ledger"),
            "notices.endpoint_added": _("Address for notices added"),
            "notices.endpoint_disabled": _("Address for notices switched off"),
            "notices.endpoint_enabled": _("Address for notices switched on"),
            "notices.secret_rotated": _("Secret for notices rotated"),
            "satellites.token_issued": _("Service token made"),
            "satellites.token_revoked": _("Service token revoked"),
            "satellites.token_rotated": _("Service token rotated"),
        }
    )
