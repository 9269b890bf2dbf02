import uuid

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0006_drift_and_endings"),
    ]

    operations = [
        migrations.CreateModel(
            name="Installation",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("instance", models.UUIDField(default=uuid.uuid4, editable=False)),
                (
                    "latest",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("licence_state", models.CharField(blank=True, editable=False, max_length=32)),
                ("licence_digest", models.CharField(blank=True, editable=False, max_length=64)),
                ("checked_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "verbose_name": "licence",
                "verbose_name_plural": "licence",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="installation_is_one"
                    )
                ],
            },
        ),
    ]
