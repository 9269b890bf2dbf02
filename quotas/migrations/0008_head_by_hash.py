"""The head is found by one page, however many organizations there are."""

from django.contrib.postgres.indexes import HashIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False  # built beside the decisions that go on

    dependencies = [("quotas", "0007_overage_reports")]

    operations = [
        AddIndexConcurrently(
            model_name="quotahead",
            index=HashIndex(fields=["organization"], name="quota_head_by_organization"),
        ),
    ]
