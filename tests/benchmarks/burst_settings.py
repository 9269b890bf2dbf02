"""The real settings, DEBUG off, with two views to compare with: one insert, and dj-stripe's own."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, STORAGES

INSTALLED_APPS = [*INSTALLED_APPS, "tests.benchmarks"]
ROOT_URLCONF = "tests.benchmarks.burst_urls"
STRIPE_SIMULATOR_ALLOWED = True  # with DEBUG off, which only tests may
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
