"""What every variable of the environment is for: the source of `.env.example` and of its page.

Names, kinds and defaults come from `config/settings.py` itself; a test compares the two.
"""

from typing import Final, NamedTuple


class Variable(NamedTuple):
    """`example` goes into `.env.example`; `elsewhere` is the default of what no setting reads."""

    name: str
    meaning: str
    example: str = ""
    secret: bool = False
    required: bool = False
    elsewhere: str | None = None


class Group(NamedTuple):
    title: str
    variables: tuple[Variable, ...]


GROUPS: Final = (
    Group(
        "The host",
        (
            Variable(
                "SECRET_KEY",
                "Signs sessions and seals letters and notice secrets. No default: a host that"
                " forgets it does not boot.",
                secret=True,
                required=True,
            ),
            Variable(
                "SECRET_KEY_FALLBACKS",
                "Former keys, separated by commas, while one is being rotated.",
                secret=True,
            ),
            Variable(
                "DEBUG",
                "Off unless set. On, it allows the embedded servers and shows errors in full.",
                "0",
            ),
            Variable("ALLOWED_HOSTS", "The names this host answers to.", "billing.example.com"),
            Variable(
                "SITE_URL",
                "Links in mails and Stripe's return addresses start with it.",
                "https://billing.example.com",
            ),
            Variable(
                "CSRF_TRUSTED_ORIGINS",
                "Origins that forms may come from, beside our own.",
                "https://billing.example.com",
            ),
            Variable(
                "TRUSTED_PROXIES",
                "How many proxies in front may be believed about X-Forwarded-For and -Proto.",
                "1",
            ),
            Variable("SECURE_SSL_REDIRECT", "Plain HTTP is sent to https.", "1"),
            Variable("SECURE_HSTS_SECONDS", "For how long browsers insist on https.", "31536000"),
            Variable(
                "CSP_FORM_ACTION",
                "Further addresses that forms may post to (Content-Security-Policy).",
            ),
            Variable(
                "SESSION_COOKIE_NAME",
                "The name of the session's cookie; unset, `__Host-sessionid`, or `sessionid` where"
                " DEBUG is on.",
            ),
            Variable(
                "CSRF_COOKIE_NAME",
                "The name of the CSRF cookie; unset, `__Host-csrftoken`, or `csrftoken` where DEBUG"
                " is on.",
            ),
            Variable(
                "SESSION_IDLE_HOURS",
                "A session that was not used for so long has ended; any ends two weeks after the"
                " sign-in.",
                "72",
            ),
        ),
    ),
    Group(
        "PostgreSQL and Redis (or Valkey)",
        (
            Variable(
                "DATABASE_URL",
                "PostgreSQL 15 or newer. Unset with DEBUG on, a private server starts under"
                " LEDGERLINE_VAR.",
                "postgresql://ledgerline:password@127.0.0.1:5432/ledgerline",
                secret=True,
                required=True,
            ),
            Variable(
                "DATABASE_DIRECT_URL",
                "Where DATABASE_URL is a PgBouncer that pools transactions: PostgreSQL itself, for"
                " the engine's few connections.",
                secret=True,
            ),
            Variable("DATABASE_CONN_MAX_AGE", "Seconds that a connection is kept.", "60"),
            Variable(
                "DATABASE_REPLICA_URL",
                "A streaming replica that reports for staff read instead (docs/scaling.md).",
                secret=True,
            ),
            Variable(
                "REDIS_URL",
                "The server of readings, which may be lost at any time. A Redis Cluster is named by"
                " some of its nodes: redis+cluster://:password@host:port,host:port.",
                "redis://127.0.0.1:6379/0",
                secret=True,
                required=True,
            ),
            Variable(
                "CELERY_BROKER_URL",
                "The server of tasks: its own in production, where readings push nothing out. One"
                " server, also where readings have a cluster.",
                secret=True,
            ),
        ),
    ),
    Group(
        "Stripe",
        (
            Variable(
                "STRIPE_SECRET_KEY",
                "sk_test_… or sk_live_…, or a restricted key; unset, nothing can be bought.",
                secret=True,
            ),
            Variable(
                "STRIPE_WEBHOOK_SECRET",
                "Of the webhook endpoint. Several, separated by commas, while one is being rolled.",
                secret=True,
            ),
            Variable(
                "STRIPE_ACCOUNT_ID", "acct_…; events of another account are refused when it is set."
            ),
            Variable("STRIPE_TIMEOUT_SECONDS", "How long one call to Stripe may take.", "8"),
            Variable("STRIPE_AUTOMATIC_TAX", "Stripe computes taxes at Checkout.", "1"),
            Variable(
                "STRIPE_TEST_CLOCKS",
                "Test mode only: each customer on a test clock of its own.",
                "1",
            ),
            Variable("STRIPE_SIMULATOR_URL", "Development only; production settings refuse it."),
        ),
    ),
    Group(
        "What is kept how long, in days (docs/privacy.md)",
        (
            Variable("KEEP_LOGIN_ATTEMPTS_DAYS", "Sign-ins and failed tries.", "30"),
            Variable("KEEP_INVITATIONS_DAYS", "Invitations that were used or have ended.", "90"),
            Variable("KEEP_API_KEYS_DAYS", "API keys that were revoked or have expired.", "365"),
            Variable("KEEP_INBOX_PAYLOADS_DAYS", "What Stripe's events said.", "30"),
            Variable(
                "KEEP_INBOX_EVENTS_DAYS",
                "That an event came; never less than 35, because Stripe offers it for 30.",
                "180",
            ),
            Variable("KEEP_MIRRORED_EVENTS_DAYS", "dj-stripe's copies of events.", "30"),
            Variable("KEEP_MESSAGE_CONTENTS_DAYS", "What a mail was made from.", "30"),
            Variable(
                "KEEP_MESSAGES_DAYS",
                "That a mail was sent, which keeps it from being sent again; never less than 400.",
                "800",
            ),
            Variable("KEEP_CHECKOUT_LINKS_DAYS", "Links to Checkout pages that have ended.", "1"),
            Variable("KEEP_NOTICES_DAYS", "What services were told.", "30"),
            Variable("KEEP_STATISTICS_DAYS", "Visits, leads, observed refusals.", "400"),
            Variable("KEEP_RUNS_DAYS", "Runs of the hourly comparison with Stripe.", "90"),
            Variable("EXPORT_KEPT_DAYS", "An archive of everything for its owners.", "7"),
            Variable("DELETION_GRACE_DAYS", "How long a deletion can be undone.", "14"),
        ),
    ),
    Group(
        "What is sold, and to whom",
        (
            Variable(
                "CATALOG",
                "A name in billing/catalogs or the path of a file. The names that its document has"
                " for keys and price ids work beside ours ([env] in the file).",
                "suite",
            ),
            Variable(
                "USAGE_RETENTION_MONTHS",
                "Whole months of the usage ledger that are kept; never fewer than three.",
                "25",
            ),
            Variable(
                "WEB_THREADS",
                "Pages that one web process makes at once; the hottest usage calls need no thread.",
                "16",
            ),
            Variable("SIGNUP_OPEN", "Anybody may sign up; off, only invited people.", "1"),
            Variable("ADMIN_REQUIRES_MFA", "Staff see the admin with a second factor alone.", "1"),
            Variable("SUPPORT_EMAIL", "Where pages and mails send people.", "billing@example.com"),
            Variable(
                "LICENCE_REQUIRED",
                "1 where this installation needs a licence, 0 where it does not; unset, the"
                " catalogue says.",
                elsewhere="",
            ),
            Variable("LICENCE_KEY", "The licence of a self-hosted installation.", secret=True),
            Variable("LICENCE_FILE", "Or a file that holds it."),
        ),
    ),
    Group(
        "Notices to satellites",
        (
            Variable(
                "NOTICES_NETWORKS",
                "Notices go to public addresses; private networks (10.0.0.0/8,…) are named here.",
            ),
            Variable("NOTICES_PORTS", "Notices go to port 443; further ports are named here."),
        ),
    ),
    Group(
        "Mail",
        (
            Variable("EMAIL_URL", "How mail leaves.", "smtp://localhost:25", secret=True),
            Variable("DEFAULT_FROM_EMAIL", "Who sends.", "Ledgerline <billing@example.com>"),
            Variable("EMAIL_FILE_PATH", "With EMAIL_URL=filemail:// mails are written here."),
        ),
    ),
    Group(
        "Logs, metrics and traces",
        (
            Variable("LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR.", "INFO"),
            Variable("LOG_FORMAT", "json or console.", "json"),
            Variable(
                "METRICS_TOKEN",
                "Whoever presents it as a bearer token may read /metrics; unset, nobody may.",
                secret=True,
            ),
            Variable(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "Traces go to this collector over OTLP/HTTP, with requirements/otel.txt installed."
                " Unset, nothing of it is loaded. The other OTEL_ variables work too.",
                elsewhere="",
            ),
            Variable(
                "PROMETHEUS_MULTIPROC_DIR",
                "A folder that all web processes of one address may write: their sums are told.",
                elsewhere="",
            ),
        ),
    ),
    Group(
        "Development",
        (
            Variable(
                "LEDGERLINE_VAR",
                "Where the embedded servers, the simulator and the demo keep their files.",
                elsewhere="./var",
            ),
            Variable("PORT", "Where `make demo` listens.", "8000", elsewhere="8000"),
            Variable("SIMULATOR_PORT", "Where its Stripe listens.", "8001", elsewhere="8001"),
            Variable("DJSTRIPE_SHIM", "dj-stripe's tables from one migration, not its own forty."),
        ),
    ),
)
SECRETS: Final = frozenset(each.name for group in GROUPS for each in group.variables if each.secret)
