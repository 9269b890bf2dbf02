"""`manage.py satellites list|add|rotate|revoke`: the product's other services and their tokens."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from billing import catalog
from orgs import audit
from orgs.models import Organization
from quotas import satellites
from quotas.models import Satellite, ServiceToken

ROTATION_HOURS = 24


class Command(BaseCommand):
    help = "Make, rotate and revoke the service tokens of satellites."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="every token, and when it was last used")
        add = verbs.add_parser("add", help="prints a token, this once")
        add.add_argument("satellite", help="its key; made where it is new")
        add.add_argument("--meter", action="append", help="default: all")
        add.add_argument("--organization", action="append", help="its slug; default: all")
        rotate = verbs.add_parser("rotate", help="prints a token of the same scopes")
        rotate.add_argument("prefix", help="as `list` shows it")
        rotate.add_argument("--hours", type=int, default=ROTATION_HOURS, help="the old one's rest")
        revoke = verbs.add_parser("revoke", help="it works no more, from now on")
        revoke.add_argument("prefix", help="as `list` shows it")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        live = set(ServiceToken.objects.live().values_list("pk", flat=True))
        for found in ServiceToken.objects.select_related("satellite").order_by("pk"):
            state = "live" if found.pk in live else "ended"
            used = f"{found.last_used_at:%Y-%m-%d %H:%M}" if found.last_used_at else "never used"
            meters = ",".join(found.meters or ["all meters"])
            self.stdout.write(f"{found.prefix}\t{state}\t{found.satellite.key}\t{meters}\t{used}")

    def _add(self, options: dict[str, Any]) -> None:
        meters, slugs = options["meter"], options["organization"]
        if unknown := set(meters or ()) - set(catalog.current().meters):
            raise CommandError(f"The catalogue has no such meter: {', '.join(sorted(unknown))}.")
        organizations = None if slugs is None else [_organization(slug) for slug in slugs]
        key = options["satellite"]
        satellite, _made = Satellite.objects.get_or_create(key=key, defaults={"name": key.title()})
        made, secret = satellites.issue_token(satellite, meters, organizations)
        _audit("satellites.token_issued", made)
        self.stdout.write(secret)

    def _rotate(self, options: dict[str, Any]) -> None:
        until = timezone.now() + timedelta(hours=options["hours"])
        made, secret = satellites.rotate_token(_token(options), old_until=until)
        _audit("satellites.token_rotated", made, former=options["prefix"])
        self.stdout.write(secret)

    def _revoke(self, options: dict[str, Any]) -> None:
        token = _token(options)
        satellites.revoke_token(token)
        _audit("satellites.token_revoked", token)


def _organization(slug: str) -> UUID:
    for found in Organization.objects.filter(slug=slug).values_list("pk", flat=True):
        return found
    raise CommandError(f"There is no organization “{slug}”.")


def _token(options: dict[str, Any]) -> ServiceToken:
    found = list(ServiceToken.objects.live().filter(prefix=options["prefix"])[:2])
    if len(found) == 1:
        return found[0]
    raise CommandError("No single live token begins like that; see `satellites list`.")


def _audit(action: str, token: ServiceToken, **details: Any) -> None:
    audit.record(
        action,
        organization=None,
        target=token.satellite.key,
        after={"prefix": token.prefix, "meters": token.meters} | details,
    )
