"""Roll-ups know their usage period, so that their sums equal the balance of that period.

The table holds derived rows only, and none were ever written: it is made anew, because a composite
primary key cannot be altered.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("quotas", "0003_engine")]

    operations = [
        migrations.DeleteModel(name="Rollup"),
        migrations.CreateModel(
            name="Rollup",
            fields=[
                ("pk", models.CompositePrimaryKey("organization", "grain", "meter", "bucket", "period_start", "member", "satellite_id", "dimension", blank=True, editable=False, primary_key=True, serialize=False)),
                ("grain", models.TextField(choices=[("hour", "hour"), ("day", "day")])),
                ("meter", models.TextField()),
                ("bucket", models.DateTimeField()),
                ("period_start", models.DateTimeField()),
                ("member", models.TextField(default="")),
                ("satellite_id", models.BigIntegerField(default=0)),
                ("dimension", models.TextField(default="")),
                ("added", models.BigIntegerField()),
                ("removed", models.BigIntegerField()),
                ("events", models.BigIntegerField()),
                ("refused", models.BigIntegerField()),
                ("organization", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="orgs.organization")),
            ],
            options={"db_table": "usage_rollup"},
        ),
    ]
