"""The settings of a test run: the real ones, with an environment nobody has to prepare.

DEBUG is off, as in production. DATABASE_URL and REDIS_URL are taken when set (continuous
integration with its own servers); else a private pair starts, apart from the demo's.
"""

import os
import secrets
import socket
from pathlib import Path

from config import embedded, messages
from tests import children

ROOT = Path(__file__).resolve().parents[1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start_servers() -> None:
    """Workers of pytest-xdist inherit the URLs, so that only the first process owns the pair."""
    if "DATABASE_URL" in os.environ and "REDIS_URL" in os.environ:
        return
    var = Path(os.environ.get("LEDGERLINE_VAR") or ROOT / "var")
    messages.compile_stale()
    os.environ |= {"LEDGERLINE_EMBEDDED": "1", "LEDGERLINE_VAR": str(var / "tests")}
    os.environ.setdefault("LEDGERLINE_EMBEDDED_FSYNC", "0")
    urls = embedded.ensure_running()
    os.environ.setdefault("DATABASE_URL", urls.database_url)
    os.environ.setdefault("REDIS_URL", urls.redis_url)


def _own_redis_database() -> None:
    """Database 1 for gw0, 2 for gw1 …; 0 for a run without workers."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        server = os.environ["REDIS_URL"].rpartition("/")[0]
        os.environ["REDIS_URL"] = f"{server}/{int(worker.removeprefix('gw')) + 1}"


children.measure_none()
_start_servers()
_own_redis_database()
for _leak in ("CATALOG", "CELERY_BROKER_URL", "LOG_FORMAT", "SITE_URL", "STRIPE_LIVE_SECRET_KEY"):
    os.environ.pop(_leak, None)
os.environ |= {
    "DEBUG": "0",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
    "DJSTRIPE_SHIM": "1",
    "EMAIL_URL": "memorymail://",
    "LOG_LEVEL": "WARNING",
    "SECURE_SSL_REDIRECT": "0",
    "STRIPE_SECRET_KEY": "sk_test_" + "51LedgerlineTestsOnly00000",
    "STRIPE_WEBHOOK_SECRET": "whsec_" + "ledgerline_tests_only",
    "STRIPE_SIMULATOR_URL": f"http://127.0.0.1:{_free_port()}",
}

from config.settings import *  # noqa: E402, F403
from config.settings import STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # hundreds of sign-ups a run
STORAGES = STORAGES | {  # no collectstatic before a test
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False  # browsers drop secure cookies over plain HTTP
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "sessionid", "csrftoken"
STRIPE_SIMULATOR_ALLOWED = True  # with DEBUG off, which only tests may
