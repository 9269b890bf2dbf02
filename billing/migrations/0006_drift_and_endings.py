import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0005_customer_transfer'),
        ('orgs', '0003_cache_table'),
    ]

    operations = [
        migrations.CreateModel(
            name='ReconcileRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(null=True)),
                ('undelivered', models.PositiveIntegerField(default=0)),
                ('resynced', models.PositiveIntegerField(default=0)),
                ('failed', models.PositiveIntegerField(default=0)),
                ('findings', models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name='billingaccount',
            name='details_changed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='billingaccount',
            name='swept_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='billingaccount',
            name='sync_asked_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='invoice',
            name='dispute_settled_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='invoice',
            name='dispute_status',
            field=models.CharField(blank=True, max_length=32),
        ),
        migrations.AddField(
            model_name='invoice',
            name='needs_confirmation',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='paymentmethod',
            name='card_mark',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name='subscription',
            name='pending_invoice_id',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.CreateModel(
            name='Ending',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('subscription_id', models.CharField(max_length=64, unique=True)),
                ('why', models.CharField(choices=[('duplicate', 'Second subscription'), ('organization_closed', 'Organization closed'), ('refunded', 'Payment returned'), ('unpaid', 'Not paid'), ('tried_before', 'Card used for a trial before')], max_length=20)),
                ('refunds', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='endings', to='orgs.organization')),
            ],
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('invoice_id', models.CharField(max_length=64, unique=True)),
                ('subscription_id', models.CharField(max_length=64)),
                ('amount', models.BigIntegerField()),
                ('credit', models.BigIntegerField(default=0)),
                ('currency', models.CharField(max_length=3)),
                ('stripe_id', models.CharField(blank=True, max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('done_at', models.DateTimeField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='orgs.organization')),
            ],
        ),
        migrations.CreateModel(
            name='DriftFinding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('undelivered', 'Event that never arrived'), ('stale', 'Rows behind Stripe'), ('duplicate', 'Second subscription'), ('closed', 'Subscription of a closed organization'), ('stranger', 'Second customer of an organization'), ('refund', 'Money that must be returned by hand')], max_length=16)),
                ('subject', models.CharField(max_length=255)),
                ('detail', models.JSONField(default=dict)),
                ('repaired', models.BooleanField()),
                ('cause', models.CharField(max_length=120)),
                ('found_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('organization', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='drift_findings', to='orgs.organization')),
            ],
            options={
                'indexes': [models.Index(models.OrderBy(models.F('found_at'), descending=True), name='drift_newest')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('kind', 'stale'), _negated=True), fields=('kind', 'subject'), name='drift_told_once')],
            },
        ),
        migrations.CreateModel(
            name='TrialMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('person', 'Person'), ('card', 'Card'), ('organization', 'Organization')], max_length=12)),
                ('mark', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='orgs.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('kind', 'mark'), name='trial_mark_once')],
            },
        ),
    ]
