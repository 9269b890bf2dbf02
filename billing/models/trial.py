"""Who has had a trial, by marks that say nothing about them."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from orgs.models import Organization


class TrialMark(models.Model):
    """A person, a card or an organization that was tried with: keyed hashes, kept for ever."""

    class Kind(models.TextChoices):
        PERSON = "person"
        CARD = "card"
        ORGANIZATION = "organization"

    kind = models.CharField(max_length=12, choices=Kind)
    mark = models.CharField(max_length=64)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "mark"], name="trial_mark_once")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.organization_id}"
