"""What was seen to hold, kept: reports of doctor and smoke, files and links that people attach."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orgs.models import User


class EvidenceQuerySet(models.QuerySet["Evidence"]):
    def of_mode(self, *, livemode: bool) -> Self:
        return self.filter(livemode=livemode)

    def smoke(self, catalog: str) -> Self:
        return self.filter(kind=Evidence.Kind.SMOKE, catalog=catalog)

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-pk")


class Evidence(models.Model):
    """Append-only. A file is kept as it came and only ever leaves as a download."""

    class Kind(models.TextChoices):
        ATTACHED = "attached", _("attached by a person")
        DOCTOR = "doctor", _("doctor")
        SMOKE = "smoke", _("smoke test")

    LARGEST_FILE = 5 * 2**20

    kind = models.CharField(max_length=8, choices=Kind)
    # Null for what a person attached: whoever reads it judges.
    passed = models.BooleanField(null=True)
    livemode = models.BooleanField()
    catalog = models.SlugField(max_length=64)
    summary = models.CharField(max_length=300)
    report = models.JSONField(default=dict)
    link = models.URLField(max_length=500, blank=True)
    file_name = models.CharField(max_length=200, blank=True)
    file = models.BinaryField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = EvidenceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind="attached") | ~Q(link="") | Q(file__isnull=False),
                name="evidence_attached_is_a_file_or_a_link",
            ),
            models.CheckConstraint(
                condition=Q(kind="attached") | Q(passed__isnull=False),
                name="evidence_of_a_run_has_an_outcome",
            ),
        ]
        indexes = [models.Index(fields=["kind", "catalog", "livemode"], name="evidence_by_kind")]

    def __str__(self) -> str:
        return self.summary
