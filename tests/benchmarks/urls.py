"""Our URLs and an empty view behind all of our middleware."""

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from config.urls import urlpatterns as ours


@csrf_exempt
def empty(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"allowed": True})


urlpatterns = [path("bench/view", empty), *ours]
