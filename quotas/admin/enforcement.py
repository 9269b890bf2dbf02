"""The pages of enforcement: the modes that hold, one form to switch, and the observe report."""

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import catalog, evidence
from billing.admin.downloads import spreadsheet
from billing.catalog.money import format_money
from billing.catalog.schema import Feature, Meter
from billing.evidence import Attachment
from billing.insight import revenue
from billing.models import Evidence
from orgs import replica
from orgs.exceptions import DomainError
from orgs.models import Organization, User
from orgs.staff_reports import kept
from orgs.staff_site import StaffPage, add_page, render_page
from quotas import enforcement_modes, tasks
from quotas.enforcement_modes import Order
from quotas.models import Enforcement, EnforcementSwitch
from quotas.reading import observe_report
from quotas.reading.observe_report import Report

_STANDING = 25
_LINES = 100  # of the observe report; its file has them all
_SHOWN = 20  # unclassified organizations, and switches of the past
_LONGEST_DAYS = 365


class SwitchForm(forms.Form):
    mode = forms.ChoiceField(label=gettext_lazy("Mode"), choices=Enforcement.choices)
    organization = forms.SlugField(
        label=gettext_lazy("Organization"),
        required=False,
        help_text=gettext_lazy("Its address. Empty: the whole deployment."),
    )
    subject = forms.ChoiceField(label=gettext_lazy("Meter or feature"), required=False)
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500)
    link = forms.URLField(
        label=gettext_lazy("Evidence, a link"), required=False, assume_scheme="https"
    )
    file = forms.FileField(label=gettext_lazy("Evidence, a file"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        present = catalog.current()
        named: dict[str, Meter | Feature] = {**present.meters, **present.features}
        field = cast(forms.ChoiceField, self.fields["subject"])
        field.choices = [("", _("all"))] + [(key, str(each.name)) for key, each in named.items()]

    def clean_organization(self) -> Organization | None:
        slug = self.cleaned_data["organization"]
        found = Organization.objects.open().filter(slug=slug).first()
        if slug and found is None:
            raise forms.ValidationError(_("There is no such organization."))
        return found

    def order(self, author: User) -> Order:
        """Raises DomainError for evidence that cannot be kept."""
        data = self.cleaned_data
        return Order(
            mode=data["mode"],
            reason=data["reason"],
            organization=data["organization"],
            subject=data["subject"],
            evidence=_attached(data["link"], data["file"], author),
        )


def _attached(link: str, file: UploadedFile | None, author: User) -> Evidence | None:
    if not link and file is None:
        return None
    content = b"" if file is None else file.read(Evidence.LARGEST_FILE + 1)
    name = "" if file is None else str(file.name)
    return evidence.attach(Attachment(link=link, file_name=name, content=content), author=author)


@require_http_methods(["GET", "POST"])
def modes(request: HttpRequest) -> HttpResponse:
    form = SwitchForm(request.POST or None, request.FILES or None)
    if request.method == "POST":
        if not request.user.has_perm("quotas.add_enforcementswitch"):
            messages.error(request, _("You may look, but not switch."))
        elif form.is_valid() and _switched(request, form):
            return redirect("admin:enforcement-modes")
    switches = EnforcementSwitch.objects.select_related("organization", "author", "evidence")
    left = enforcement_modes.unclassified()
    return render_page(
        request,
        "staff/enforcement.html",
        _("Enforcement modes"),
        status=422 if form.errors else 200,
        form=form,
        policy=catalog.current().enforcement,
        standing=switches.defer("evidence__file").standing().in_order().reverse()[:_STANDING],
        most=_STANDING,
        past=switches.defer("evidence__file").exclude(undone_at=None).order_by("-at")[:_SHOWN],
        unclassified=left[:_SHOWN],
        unclassified_count=left.count(),
        unsettled=enforcement_modes.unsettled().count(),
    )


def _switched(request: HttpRequest, form: SwitchForm) -> bool:
    actor = cast(User, request.user)
    try:
        made = enforcement_modes.switch(form.order(actor), actor=actor)
    except DomainError as error:
        form.add_error(None, str(error))
        return False
    tasks.settle_soon()
    messages.success(request, _("Switched: %(switch)s") % {"switch": made})
    return True


@require_POST
def undo(request: HttpRequest, object_id: int) -> HttpResponse:
    made = get_object_or_404(EnforcementSwitch, pk=object_id)
    try:
        enforcement_modes.undo(made, actor=cast(User, request.user))
    except DomainError as error:
        messages.error(request, str(error))
    else:
        tasks.settle_soon()
        messages.success(request, _("Undone. What held before holds again."))
    return redirect("admin:enforcement-modes")


@require_safe
def report(request: HttpRequest) -> HttpResponse:
    days = _days(request)
    return render_page(
        request,
        "staff/observe_report.html",
        _("Observe report"),
        days=days,
        kept=kept(request, "staff_observe_report", days=days),
        behind=replica.behind(),
        choices=(7, 30, 90),
        shown=SimpleLazyObject(lambda: _reported(_of_last(days))),
    )


@require_safe
def report_csv(request: HttpRequest) -> HttpResponse:
    return spreadsheet("observe-report", observe_report.export(_of_last(_days(request))))


def _of_last(days: int) -> Report:
    return observe_report.of(timezone.now() - timedelta(days=days))


def _reported(found: Report) -> dict[str, Any]:
    return {
        "report": found,
        "lines": [(line, _money(line.paying)) for line in found.lines[:_LINES]],
        "left_out": max(len(found.lines) - _LINES, 0),
        "at_stake": [
            format_money(revenue.rounded(amount), currency)
            for currency, amount in found.at_stake.items()
        ],
    }


def _days(request: HttpRequest) -> int:
    text = request.GET.get("days", "")
    days = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0  # noqa: PLR2004
    return days if 0 < days <= _LONGEST_DAYS else observe_report.DAYS


def _money(paying: revenue.Paying | None) -> str:
    if paying is None:
        return ""
    return format_money(revenue.rounded(paying.amount), paying.currency)


_LOOK = "quotas.view_enforcementswitch"
for _page in (
    StaffPage(
        route="enforcement/",
        name="enforcement-modes",
        view=modes,
        permission=_LOOK,
        title=gettext_lazy("Enforcement modes"),
    ),
    StaffPage(
        route="enforcement/<int:object_id>/undo/",
        name="enforcement-undo",
        view=undo,
        permission="quotas.add_enforcementswitch",
    ),
    StaffPage(
        route="observe-report/",
        name="observe-report",
        view=report,
        permission=_LOOK,
        title=gettext_lazy("Observe report"),
    ),
    StaffPage(
        route="observe-report.csv",
        name="observe-report-csv",
        view=report_csv,
        permission=_LOOK,
    ),
):
    add_page(_page)
