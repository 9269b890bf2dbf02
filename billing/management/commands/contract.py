"""`manage.py contract`: an organization pays a plan by invoice, as sales have agreed with it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.exceptions import BillingError
from billing.subscription.contracts import Agreement, agree
from orgs.audit import Actor, ActorKind
from orgs.exceptions import DomainError
from orgs.models import Organization


class Command(BaseCommand):
    help = (
        "Subscribe an organization to a plan by contract: paid by invoice, with a purchase order."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", help="slug")
        parser.add_argument("plan", help="key in the catalogue")
        parser.add_argument("--interval", choices=["month", "year"], default="year")
        parser.add_argument("--currency", default="", help="default: the customer's own")
        parser.add_argument("--seats", type=int, default=None)
        parser.add_argument("--net-days", type=int, default=30, help="days to pay an invoice")
        parser.add_argument("--country", default="", help="of the payer, for the tax: US, VN")
        parser.add_argument("--postal-code", default="")
        parser.add_argument("--purchase-order", default="", help="printed on every invoice")
        parser.add_argument(
            "--document", action="append", default=[], metavar="NAME=LINK", help="such as the MSA"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.open().filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']}.")
        agreement = Agreement(
            plan_key=options["plan"],
            interval=options["interval"],
            currency=options["currency"],
            seats=options["seats"],
            net_days=options["net_days"],
            purchase_order=options["purchase_order"],
            country=options["country"],
            postal_code=options["postal_code"],
            documents=dict(_split(found) for found in options["document"]),
        )
        try:
            plan = agree(
                organization,
                agreement,
                actor=Actor(kind=ActorKind.SYSTEM, label="manage.py contract"),
            )
        except (BillingError, DomainError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{organization.slug} pays {plan.name} by invoice.")


def _split(found: str) -> tuple[str, str]:
    name, mark, link = found.partition("=")
    if not mark:
        raise CommandError(f"--document wants NAME=LINK, not {found}")
    return name, link
