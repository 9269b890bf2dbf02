"""Answers that several billing views give."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from billing.exceptions import StripeUnavailable

RETRY_AFTER_SECONDS = 30


class SeeOther(HttpResponseRedirect):
    """After a POST the browser must GET; 302 leaves that to custom."""

    status_code = 303


def see_other(url: str) -> HttpResponse:
    return SeeOther(url)


def back_to_billing(slug: str) -> HttpResponse:
    return SeeOther(reverse("billing:settings", kwargs={"slug": slug}))


def stripe_is_away(request: HttpRequest, error: StripeUnavailable) -> HttpResponse:
    """Offers the very same form again: the attempt carried an idempotency key (B17)."""
    fields = [(k, v) for k, v in request.POST.items() if k != "csrfmiddlewaretoken"]
    context = {"sentence": str(error), "fields": fields, "action": request.path}
    response = render(request, "billing/stripe_unavailable.html", context, status=error.status)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
