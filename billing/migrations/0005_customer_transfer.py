import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0004_discounts_with_details'),
        ('orgs', '0003_cache_table'),
    ]

    operations = [
        migrations.CreateModel(
            name='CustomerTransfer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('customer_id', models.CharField(max_length=64)),
                ('moved_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('told_at', models.DateTimeField(blank=True, null=True)),
                ('founder', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='customers_given', to='orgs.organization')),
                ('target', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='customers_received', to='orgs.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['customer_id'], name='customer_transfer_by_customer'), models.Index(condition=models.Q(('told_at', None)), fields=['id'], name='customer_transfer_untold')],
            },
        ),
    ]
