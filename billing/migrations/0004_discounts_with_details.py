from django.db import migrations


class Migration(migrations.Migration):
    """Bare ids go; the next sync writes what each discount is."""

    dependencies = [("billing", "0003_scheduled_changes")]

    operations = [
        migrations.RunSQL(
            "UPDATE billing_subscription SET discounts = '[]' WHERE discounts <> '[]'",
            migrations.RunSQL.noop,
        )
    ]
