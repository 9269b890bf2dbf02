"""Which balance a ledger row counts in, so that sums hold when a limit becomes per member."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("quotas", "0004_rollup_by_period")]

    operations = [
        migrations.AddField(
            model_name="usageevent",
            name="per_member",
            field=models.BooleanField(db_default=False),
        ),
    ]
