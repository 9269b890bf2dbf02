"""`manage.py licence show|keygen|issue`: `show` for an installation, the others for its vendor."""

import base64
import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import catalog
from billing.entitlement.clock import database_now
from billing.licence import standing, token
from billing.licence.judgement import Standing, State
from billing.licence.token import Licence


class Command(BaseCommand):
    help = "Show this installation's licence; make keys and issue licences for others."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        show = verbs.add_parser("show", help="exit code 1 while a required licence gives nothing")
        show.add_argument("--json", action="store_true", help="for programs")
        keygen = verbs.add_parser("keygen", help="prints the line for public_keys.toml")
        keygen.add_argument("--kid", required=True, help="the key's name, such as 2026-11")
        keygen.add_argument("--out", required=True, type=Path, help="the private key's new file")
        issue = verbs.add_parser("issue", help="prints a licence")
        issue.add_argument("--kid", required=True)
        issue.add_argument("--key", required=True, type=Path, help="the private key's file")
        issue.add_argument("--instance", required=True, type=UUID, help="from `licence show`")
        issue.add_argument("--plan", required=True)
        issue.add_argument("--holder", required=True, help="who buys it")
        issue.add_argument("--catalog", help="default: the current one")
        issue.add_argument("--seats", type=int, help="default: unlimited")
        issue.add_argument("--starts", type=_day, help="YYYY-MM-DD; default: now")
        issue.add_argument("--days", type=int, default=365)

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _show(self, options: dict[str, Any]) -> None:
        found = standing.at(database_now())
        facts = _facts(found)
        if options["json"]:
            self.stdout.write(json.dumps(facts))
        else:
            for name, value in facts.items():
                self.stdout.write(f"{name:16}{'-' if value is None else value}")
        if not found.is_usable and found.state is not State.NOT_REQUIRED:
            sys.exit(1)

    def _keygen(self, options: dict[str, Any]) -> None:
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            options["out"].touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise CommandError(f"{options['out']}: {error.strerror}") from error
        options["out"].write_bytes(private)
        public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        self.stdout.write(f'"{options["kid"]}" = "{public}"')

    def _issue(self, options: dict[str, Any]) -> None:
        key = _private_key(options["key"])
        starts = options["starts"] or timezone.now()
        licence = Licence(
            id=str(uuid4()),
            holder=options["holder"],
            instance=str(options["instance"]),
            catalog=options["catalog"] or catalog.current().key,
            plan=options["plan"],
            seats=options["seats"],
            issued_at=timezone.now(),
            starts_at=starts,
            ends_at=starts + timedelta(days=options["days"]),
        )
        written = token.sign(licence, options["kid"], key)
        try:
            token.verify(written, {options["kid"]: key.public_key()})
        except token.LicenceRefused as error:
            raise CommandError("No installation would accept this licence.") from error
        self.stdout.write(written)


def _facts(found: Standing) -> dict[str, Any]:
    licence = found.licence
    return {
        "instance": str(standing.installation().instance),
        "state": str(found.state),
        "detail": found.detail or None,
        "plan": licence and licence.plan,
        "seats": licence and licence.seats,
        "holder": licence and licence.holder,
        "kid": licence and licence.kid,
        "starts_at": licence and licence.starts_at.isoformat(),
        "ends_at": licence and licence.ends_at.isoformat(),
        "grace_ends_at": found.grace_ends_at and found.grace_ends_at.isoformat(),
    }


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} holds no private key.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise CommandError(f"{path} holds no Ed25519 key.")
    return key


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
