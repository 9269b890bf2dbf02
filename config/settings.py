"""The one settings file: environment in, no unsafe default.

Every variable is listed in `.env.example`. A host that forgets SECRET_KEY does not boot.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from config import aliases, queues

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
if (BASE_DIR / ".env").is_file():  # absent in production; never overrides real variables
    env.read_env(str(BASE_DIR / ".env"))
CATALOG = env.str("CATALOG", default="suite")
aliases.adopt(os.environ, CATALOG)

# --- The host -------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY must not be empty.")
# Former keys: what they signed or sealed is still read, nothing new is made with them.
SECRET_KEY_FALLBACKS = [key for key in env.list("SECRET_KEY_FALLBACKS", default=[]) if key]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"] if DEBUG else [])
# Links in mails and Stripe return addresses are built from this, never from the Host header (E23).
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000").rstrip("/")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# How many proxies in front of us may be believed about X-Forwarded-For and -Proto.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "orgs.apps.StaffAdminConfig",  # django.contrib.admin with a site that asks staff for MFA
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.forms",
    "template_partials.apps.SimpleAppConfig",
    "django_htmx",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "django_structlog",
    "djstripe",
    "orgs",
    "billing",
    "quotas",
    "config",
]

MIDDLEWARE = [
    "orgs.headers.HeadersMiddleware",  # first: answers of the others carry them too
    "django.middleware.security.SecurityMiddleware",
    "config.compression.CompressPagesMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.health.ProbeMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.request_log.RequestLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "config.impersonation.ImpersonationMiddleware",  # from here on `user` is whose pages are seen
    "orgs.preferences.PreferencesMiddleware",
    "orgs.middleware.CurrentOrganizationMiddleware",
    "billing.middleware.LockMiddleware",
    "config.error_pages.DomainErrorMiddleware",
    "axes.middleware.AxesMiddleware",  # last, as its documentation asks
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
            "builtins": ["template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "orgs.context_processors.shell",
                "billing.context_processors.banner",
                "quotas.context_processors.sidebar",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- PostgreSQL and Redis -------------------------------------------------------------------

_database_url = env.str("DATABASE_URL", default="")
_redis_url = env.str("REDIS_URL", default="")
if DEBUG and not (_database_url and _redis_url):
    # Development and tests: private servers from wheels. They refuse to run with DEBUG off.
    from config import embedded

    _embedded = embedded.ensure_running()
    _database_url = _database_url or _embedded.database_url
    _redis_url = _redis_url or _embedded.redis_url

if not (_database_url and _redis_url):
    raise ImproperlyConfigured("DATABASE_URL and REDIS_URL must be set while DEBUG is off.")
DATABASES = {"default": env.db_url_config(_database_url, engine="config.postgresql")}
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"].setdefault("application_name", "ledgerline")
# Behind a PgBouncer that pools transactions the engine's sessions go straight to PostgreSQL.
DATABASE_DIRECT_URL = env.str("DATABASE_DIRECT_URL", default="")
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = bool(DATABASE_DIRECT_URL)
# A streaming replica for reports alone; without it they read the database itself.
if _replica_url := env.str("DATABASE_REPLICA_URL", default=""):
    DATABASES["replica"] = env.db_url_config(_replica_url, engine="config.postgresql")
    DATABASES["replica"]["CONN_MAX_AGE"] = DATABASES["default"]["CONN_MAX_AGE"]
    DATABASES["replica"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["replica"]["OPTIONS"] = {
        "application_name": "ledgerline-reports",
        "connect_timeout": 2,
        "options": "-c default_transaction_read_only=on -c statement_timeout=60s",
    } | DATABASES["replica"].get("OPTIONS", {})
    DATABASES["replica"]["TEST"] = {"MIRROR": "default"}
    DATABASE_ROUTERS = ["orgs.replica.Router"]

REDIS_URL = _redis_url
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="") or REDIS_URL
if "+cluster://" in CELERY_BROKER_URL:
    raise ImproperlyConfigured("CELERY_BROKER_URL must be one Redis: Celery speaks to no cluster.")

# Login attempts and rate limits must survive a cache flush, so they live in PostgreSQL (E20).
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "django_cache",
    }
}

# --- Celery ---------------------------------------------------------------------------------

CELERY_TASK_ACKS_LATE = True  # a killed worker's task runs again; tasks claim rows first (C34)
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,  # longer than any task may run (C35)
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}  # the sweeper is the retry (A29)
CELERY_TASK_SOFT_TIME_LIMIT = 120
CELERY_TASK_TIME_LIMIT = 180
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "config.beat:OneBeat"
CELERY_TASK_QUEUES = queues.QUEUES
CELERY_TASK_ROUTES = queues.ROUTES
CELERY_TASK_DEFAULT_QUEUE = queues.REST

# --- People ---------------------------------------------------------------------------------

AUTH_USER_MODEL = "orgs.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_ADAPTER = "orgs.accounts.AccountAdapter"
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", default=True)  # invited people may sign up all the same
# Staff without a second factor are sent to set one up before they see the admin (E12).
ADMIN_REQUIRES_MFA = env.bool("ADMIN_REQUIRES_MFA", default=not DEBUG)
MFA_ADAPTER = "orgs.second_factors.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_CALLABLE = "orgs.accounts.locked_out"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "orgs.accounts.throttled_login"
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
# ipware would believe the leftmost entry of X-Forwarded-For, which anybody can write (E20).
AXES_CLIENT_IP_CALLABLE = "orgs.clients.client_ip"

# --- Language and time ----------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("vi", _("Vietnamese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

# --- Pages ----------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# --- Security -------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF, *env.list("CSP_FORM_ACTION", default=[])],
        "img-src": [SELF, "data:"],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=0 if DEBUG else 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DEBUG
SECURE_HSTS_PRELOAD = not DEBUG
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SESSION_ENGINE = "orgs.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_IDLE = timedelta(hours=env.int("SESSION_IDLE_HOURS", default=72))
# With the prefix a browser takes the cookie from this host alone, over https alone.
_prefix = "" if DEBUG else "__Host-"
SESSION_COOKIE_NAME = env.str("SESSION_COOKIE_NAME", default="") or f"{_prefix}sessionid"
CSRF_COOKIE_NAME = env.str("CSRF_COOKIE_NAME", default="") or f"{_prefix}csrftoken"
CSRF_FAILURE_VIEW = "config.error_pages.csrf_failure"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

# --- Mail -----------------------------------------------------------------------------------

vars().update(
    env.email_url("EMAIL_URL", default="consolemail://" if DEBUG else "smtp://localhost:25")
)
EMAIL_FILE_PATH = env.str("EMAIL_FILE_PATH", default=str(BASE_DIR / "var" / "mail"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Ledgerline <billing@localhost>")

# --- Stripe and the catalogue ---------------------------------------------------------------

STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
# Several, so that a secret can be rolled for 24 hours (A11).
STRIPE_WEBHOOK_SECRETS = [s for s in env.list("STRIPE_WEBHOOK_SECRET", default=[]) if s]
# Events that name another (Connect) account are refused; ours usually name none (A22).
STRIPE_ACCOUNT_ID = env.str("STRIPE_ACCOUNT_ID", default="")
# The version of the pinned SDK: its types, the simulator and dj-stripe then speak one shape.
STRIPE_API_VERSION = "2026-08-26.dahlia"  # upgrades are a reviewed change, not a variable
STRIPE_LIVE_MODE = STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
STRIPE_TIMEOUT_SECONDS = env.float("STRIPE_TIMEOUT_SECONDS", default=8.0)
STRIPE_AUTOMATIC_TAX = env.bool("STRIPE_AUTOMATIC_TAX", default=True)
# Test-mode customers live on their own Stripe test clock (DESIGN 3, Time).
STRIPE_TEST_CLOCKS = env.bool("STRIPE_TEST_CLOCKS", default=True) and not STRIPE_LIVE_MODE
STRIPE_SIMULATOR_ALLOWED = DEBUG  # a check refuses the simulator elsewhere
if STRIPE_SIMULATOR_URL := env.str("STRIPE_SIMULATOR_URL", default="").rstrip("/"):
    STRIPE_API_HOST = STRIPE_SIMULATOR_URL
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"].append(STRIPE_SIMULATOR_URL)
else:
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"] += [
        "https://checkout.stripe.com",
        "https://billing.stripe.com",
        "https://invoice.stripe.com",
    ]

DJSTRIPE_SUBSCRIBER_MODEL = "orgs.Organization"
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
STRIPE_LIVE_SECRET_KEY = STRIPE_SECRET_KEY if STRIPE_LIVE_MODE else ""
STRIPE_TEST_SECRET_KEY = "" if STRIPE_LIVE_MODE else STRIPE_SECRET_KEY
# Ours alone decides whose a customer is, never metadata that Stripe sends back (A21).
DJSTRIPE_SUBSCRIBER_CUSTOMER_KEY = None
if env.bool("DJSTRIPE_SHIM", default=DEBUG):
    # dj-stripe's own migrations take a minute; tests and the demo create its tables in one.
    MIGRATION_MODULES = {"djstripe": "config.djstripe_tables"}

# Whole months of the usage ledger, this one included; never fewer than three (keys, DESIGN 4.4).
USAGE_RETENTION_MONTHS = env.int("USAGE_RETENTION_MONTHS", default=25)
# What is kept how many days (docs/privacy.md).
KEEP_DAYS = {
    "login_attempts": env.int("KEEP_LOGIN_ATTEMPTS_DAYS", default=30),
    "invitations": env.int("KEEP_INVITATIONS_DAYS", default=90),
    "api_keys": env.int("KEEP_API_KEYS_DAYS", default=365),
    # Stripe lists undelivered events for 30 days: shorter, and the reconcile would take them again.
    "inbox_payloads": env.int("KEEP_INBOX_PAYLOADS_DAYS", default=30),
    "inbox_events": max(35, env.int("KEEP_INBOX_EVENTS_DAYS", default=180)),
    "mirrored_events": env.int("KEEP_MIRRORED_EVENTS_DAYS", default=30),
    "message_contents": env.int("KEEP_MESSAGE_CONTENTS_DAYS", default=30),
    "messages": max(400, env.int("KEEP_MESSAGES_DAYS", default=800)),
    "checkout_links": env.int("KEEP_CHECKOUT_LINKS_DAYS", default=1),
    "notices": env.int("KEEP_NOTICES_DAYS", default=30),
    "statistics": env.int("KEEP_STATISTICS_DAYS", default=400),
    "runs": env.int("KEEP_RUNS_DAYS", default=90),
}
# How long an archive of everything can be downloaded, and a deletion be undone.
EXPORT_KEPT_DAYS = env.int("EXPORT_KEPT_DAYS", default=7)
DELETION_GRACE_DAYS = env.int("DELETION_GRACE_DAYS", default=14)
# Who presents it as a bearer token may read `/metrics`; empty: there is no such page.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# How many pages one web process makes at once; the hottest calls need no thread.
WEB_THREADS = env.int("WEB_THREADS", default=16)
SUPPORT_EMAIL = env.str("SUPPORT_EMAIL", default="billing@example.com")

# A self-hosted installation's licence: the key itself, or a file that holds it.
LICENCE_KEY = env.str("LICENCE_KEY", default="")
LICENCE_FILE = env.str("LICENCE_FILE", default="")
LICENCE_PUBLIC_KEYS = BASE_DIR / "billing" / "licence" / "public_keys.toml"  # no variable: F1

# --- Notices to satellites --------------------------------------------------------------------

NOTICES_TO_LOOPBACK = DEBUG  # http too; elsewhere https to public addresses alone (G1)
# Satellites inside a private network: its ranges, and ports beside 443.
NOTICES_NETWORKS = env.list("NOTICES_NETWORKS", default=[])
NOTICES_PORTS = env.list("NOTICES_PORTS", cast=int, default=[])

# --- API ------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "orgs.authentication.PersonalTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ledgerline",
    "DESCRIPTION": "Plans, payments and quotas of organizations.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "orgs.openapi.refusals",
    ],
}

# --- Logs -----------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT = env.str("LOG_FORMAT", default="console" if DEBUG else "json")
from config.logging import configure  # noqa: E402  reads LOG_LEVEL and LOG_FORMAT

LOGGING = configure(level=LOG_LEVEL, fmt=LOG_FORMAT)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # config.request_log notes the address
