"""The real settings, DEBUG off, for an installation whose Stripe and satellites are on loopback."""

from config.settings import *  # noqa: F403
from config.settings import STORAGES

STRIPE_SIMULATOR_ALLOWED = True  # with DEBUG off, which only tests may
NOTICES_TO_LOOPBACK = True
EMAIL_BACKEND = "tests.chaos.mailbox.Mailbox"
STORAGES = STORAGES | {  # no collectstatic before a run
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
