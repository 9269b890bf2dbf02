from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orgs", "0005_audit_may_be_emptied")]

    operations = [
        AddIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("actor_kind", "person")),
                fields=["actor_id"],
                name="audit_by_person",
            ),
        ),
    ]
