"""The table of the database cache: rate limits of sign-in live in it, so no host may forget it."""

from django.db import migrations

CREATE = """
CREATE TABLE IF NOT EXISTS django_cache (
    cache_key varchar(255) NOT NULL PRIMARY KEY,
    value text NOT NULL,
    expires timestamp with time zone NOT NULL
);
CREATE INDEX IF NOT EXISTS django_cache_expires ON django_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("orgs", "0002_guards")]

    operations = [migrations.RunSQL(CREATE, "DROP TABLE django_cache")]
