"""What people would pick: one counter per organization, and no ledger."""

from typing import ClassVar

from django.db import models


class Counter(models.Model):
    organization_id = models.UUIDField(primary_key=True)
    used = models.BigIntegerField(default=0)
    allowance = models.BigIntegerField()

    objects: ClassVar[models.Manager["Counter"]] = models.Manager()

    class Meta:
        app_label = "benchmarks"
        db_table = "benchmark_counter"

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.used}"


class Delivery(models.Model):
    """One event as it came: a row with one index, and nothing else done."""

    event_id = models.CharField(max_length=255, unique=True)
    payload = models.JSONField()

    objects: ClassVar[models.Manager["Delivery"]] = models.Manager()

    class Meta:
        app_label = "benchmarks"
        db_table = "benchmark_delivery"

    def __str__(self) -> str:
        return self.event_id
