"""Our URLs, one durable insert behind all of our middleware, and dj-stripe's own webhook view."""

import json

from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from config.urls import urlpatterns as ours
from tests.benchmarks.models import Delivery


@csrf_exempt
def insert(request: HttpRequest) -> JsonResponse:
    """What an acknowledgement cannot do without: read the body, make one row durable, answer."""
    event = json.loads(request.body)
    Delivery.objects.create(event_id=event["id"], payload=event)
    return JsonResponse({"received": True})


urlpatterns = [
    path("bench/insert", insert),
    path("bench/djstripe/", include("djstripe.urls", namespace="djstripe")),
    *ours,
]
