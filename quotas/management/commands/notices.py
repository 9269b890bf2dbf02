"""`manage.py notices list|add|rotate|enable|disable|test`: addresses that satellites listen at."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from quotas.models import NoticeEndpoint, NoticeType, Satellite
from quotas.notices import delivery, endpoints, outbox
from quotas.notices.addresses import AddressRefused

_EVENTS = [value for value in NoticeType.values if value != NoticeType.TEST]


class Command(BaseCommand):
    help = "Manage where satellites are told of changes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="every endpoint and how it fares")
        add = verbs.add_parser("add", help="prints the secret, this once")
        add.add_argument("satellite", help="its key; made where it is new")
        add.add_argument("url")
        add.add_argument("--event", action="append", choices=_EVENTS, help="default: all")
        add.add_argument("--meter", action="append", help="default: all")
        for verb, does in (
            ("rotate", "prints a new secret; the old one signs as well for a day"),
            ("test", "sends a test notice now"),
            ("enable", "from now on"),
            ("disable", "sends nothing more"),
        ):
            verbs.add_parser(verb, help=does).add_argument("endpoint", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        for found in NoticeEndpoint.objects.select_related("satellite").order_by("pk"):
            state = "disabled" if found.disabled_at else "failing" if found.failures else "good"
            self.stdout.write(f"{found.pk}\t{state}\t{found}")

    def _add(self, options: dict[str, Any]) -> None:
        key = options["satellite"]
        satellite, _made = Satellite.objects.get_or_create(key=key, defaults={"name": key.title()})
        try:
            made, secret = endpoints.add(
                satellite, options["url"], events=options["event"], meters=options["meter"]
            )
        except AddressRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{made.pk}\t{secret}")

    def _rotate(self, options: dict[str, Any]) -> None:
        self.stdout.write(endpoints.rotate(_endpoint(options)))

    def _test(self, options: dict[str, Any]) -> None:
        sent = outbox.put_test(_endpoint(options))
        if not delivery.attempt(sent):
            raise CommandError(sent.last_error or f"HTTP {sent.last_status}")
        self.stdout.write(f"{sent.webhook_id} arrived")

    def _enable(self, options: dict[str, Any]) -> None:
        endpoints.enable(_endpoint(options))

    def _disable(self, options: dict[str, Any]) -> None:
        endpoints.disable(_endpoint(options), "Switched off by the command.")


def _endpoint(options: dict[str, Any]) -> NoticeEndpoint:
    found = NoticeEndpoint.objects.select_related("satellite").filter(pk=options["endpoint"])
    for endpoint in found:
        return endpoint
    raise CommandError("There is no such endpoint; see `notices list`.")
