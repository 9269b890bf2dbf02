"""The product's other services, and the tokens by which they speak."""

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class Satellite(models.Model):
    """A service that asks before it acts and reports what was used."""

    key = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(db_default=Now())
    disabled_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class ServiceTokenQuerySet(models.QuerySet["ServiceToken"]):
    def live(self) -> Self:
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=Now()),
            revoked_at=None,
            satellite__disabled_at=None,
        )


class ServiceToken(models.Model):
    """Shown once; only its hash and a short prefix are kept (E10). Null scopes mean all."""

    satellite = models.ForeignKey(Satellite, on_delete=models.CASCADE, related_name="tokens")
    prefix = models.CharField(max_length=16)
    token_hash = models.CharField(max_length=64, unique=True)
    meters = ArrayField(models.CharField(max_length=64), null=True, blank=True)
    organizations = ArrayField(models.UUIDField(), null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    # Set on rotation too: the old token works until the new one is deployed everywhere.
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = ServiceTokenQuerySet.as_manager()

    class Meta:
        indexes = [models.Index("satellite", F("created_at").desc(), name="service_token_newest")]

    def __str__(self) -> str:
        return f"{self.prefix}…"
