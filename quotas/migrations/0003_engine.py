"""The functions of the engine, from the files that hold them."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "engine" / "sql"
FILES = ("usage_period", "usage_credits", "apply_usage", "settle_usage", "read_usage")

DROP = """
DROP FUNCTION IF EXISTS apply_usage_set;
DROP FUNCTION IF EXISTS usage_moved_none;
DROP FUNCTION IF EXISTS apply_usage_line;
DROP FUNCTION IF EXISTS usage_refusal;
DROP FUNCTION IF EXISTS usage_billable;
DROP FUNCTION IF EXISTS usage_overage;
DROP FUNCTION read_usage;
DROP FUNCTION settle_usage;
DROP FUNCTION apply_usage;
DROP FUNCTION usage_credit_left;
DROP FUNCTION undo_usage_credit;
DROP FUNCTION burn_usage_credit;
DROP FUNCTION usage_remaining;
DROP FUNCTION usage_period;
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0002_usage_event")]

    operations = [
        migrations.RunSQL("\n".join((SQL / f"{name}.sql").read_text() for name in FILES), DROP)
    ]
