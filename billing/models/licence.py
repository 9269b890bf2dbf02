"""This installation: who it is to the vendor, and the latest time that it has ever seen."""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Installation(models.Model):
    """One row. A licence names `instance`; `latest` never goes back, whatever a clock says (F3)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    instance = models.UUIDField(default=uuid4, editable=False)
    latest = models.DateTimeField(db_default=Now(), editable=False)
    # What the last check found, so that a change is noticed once.
    licence_state = models.CharField(max_length=32, blank=True, editable=False)
    licence_digest = models.CharField(max_length=64, blank=True, editable=False)
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager["Installation"]] = models.Manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="installation_is_one")]
        verbose_name = "licence"
        verbose_name_plural = "licence"

    def __str__(self) -> str:
        return str(self.instance)
