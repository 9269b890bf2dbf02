"""The tables of quotas, without the ledger (0002)."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import quotas.models.control
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('orgs', '0002_guards'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AlertSetting',
            fields=[
                ('organization', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='alert_setting', serialize=False, to='orgs.organization')),
                ('thresholds', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), default=quotas.models.control.default_thresholds, size=None)),
            ],
            options={
                'db_table': 'usage_alert_setting',
            },
        ),
        migrations.CreateModel(
            name='RollupMark',
            fields=[
                ('name', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('recorded_until', models.DateTimeField()),
            ],
            options={
                'db_table': 'usage_rollup_mark',
            },
        ),
        migrations.CreateModel(
            name='Satellite',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.SlugField(max_length=64, unique=True)),
                ('name', models.CharField(max_length=120)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('disabled_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='QuotaHead',
            fields=[
                ('organization', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='quota_head', serialize=False, to='orgs.organization')),
                ('sequence', models.BigIntegerField(default=0)),
                ('limits_sequence', models.BigIntegerField(default=0)),
                ('frozen_at', models.DateTimeField(blank=True, null=True)),
                ('plan', models.TextField(default='')),
                ('access', models.TextField(default='full')),
                ('entitlement_sequence', models.BigIntegerField(default=0)),
                ('valid_until', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'db_table': 'quota_head',
                'constraints': [models.CheckConstraint(condition=models.Q(('access__in', ['full', 'restricted', 'read_only'])), name='quota_head_access')],
            },
        ),
        migrations.CreateModel(
            name='Rollup',
            fields=[
                ('pk', models.CompositePrimaryKey('organization', 'grain', 'meter', 'bucket', 'member', 'satellite_id', 'dimension', blank=True, editable=False, primary_key=True, serialize=False)),
                ('grain', models.TextField(choices=[('hour', 'hour'), ('day', 'day')])),
                ('meter', models.TextField()),
                ('bucket', models.DateTimeField()),
                ('member', models.TextField(default='')),
                ('satellite_id', models.BigIntegerField(default=0)),
                ('dimension', models.TextField(default='')),
                ('added', models.BigIntegerField()),
                ('removed', models.BigIntegerField()),
                ('events', models.BigIntegerField()),
                ('refused', models.BigIntegerField()),
                ('organization', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='orgs.organization')),
            ],
            options={
                'db_table': 'usage_rollup',
            },
        ),
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('meter', models.SlugField(max_length=64)),
                ('member', models.CharField(blank=True, default='', max_length=64)),
                ('period_start', models.DateTimeField()),
                ('threshold', models.PositiveSmallIntegerField()),
                ('used', models.BigIntegerField()),
                ('allowance', models.BigIntegerField()),
                ('crossed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='usage_alerts', to='orgs.organization')),
            ],
            options={
                'db_table': 'usage_alert',
                'constraints': [models.UniqueConstraint(fields=('organization', 'meter', 'member', 'period_start', 'threshold'), name='usage_alert_once_per_period')],
            },
        ),
        migrations.CreateModel(
            name='Balance',
            fields=[
                ('pk', models.CompositePrimaryKey('organization', 'meter', 'member', 'period_start', blank=True, editable=False, primary_key=True, serialize=False)),
                ('meter', models.TextField()),
                ('member', models.TextField(default='')),
                ('period_start', models.DateTimeField()),
                ('period_end', models.DateTimeField()),
                ('used', models.BigIntegerField(default=0)),
                ('held', models.BigIntegerField(default=0)),
                ('credited', models.BigIntegerField(default=0)),
                ('overage', models.BigIntegerField(default=0)),
                ('checkpoint', models.BigIntegerField(default=0)),
                ('observed_at', models.DateTimeField(blank=True, null=True)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('organization', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='orgs.organization')),
            ],
            options={
                'db_table': 'plan_usage',
                'constraints': [models.CheckConstraint(condition=models.Q(('used__gte', 0)), name='plan_usage_used_not_negative'), models.CheckConstraint(condition=models.Q(('held__gte', 0)), name='plan_usage_held_not_negative'), models.CheckConstraint(condition=models.Q(('overage__gte', 0)), name='plan_usage_overage_not_negative'), models.CheckConstraint(condition=models.Q(('credited__gte', 0), ('credited__lte', models.F('used'))), name='plan_usage_credited_is_part_of_used')],
            },
        ),
        migrations.CreateModel(
            name='Credit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('meter', models.SlugField(max_length=64)),
                ('amount', models.BigIntegerField()),
                ('remaining', models.BigIntegerField()),
                ('priority', models.SmallIntegerField(default=100)),
                ('starts_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.CharField(max_length=500)),
                ('reference', models.CharField(blank=True, max_length=200, null=True, unique=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='credits', to='orgs.organization')),
            ],
            options={
                'db_table': 'usage_credit',
                'indexes': [models.Index(condition=models.Q(('remaining__gt', 0)), fields=['organization', 'meter'], name='usage_credit_left')],
                'constraints': [models.CheckConstraint(condition=models.Q(('remaining__gte', 0), ('remaining__lte', models.F('amount')), ('amount__gt', 0)), name='usage_credit_remaining_in_range')],
            },
        ),
        migrations.CreateModel(
            name='LimitAdjustment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('meter', models.SlugField(max_length=64)),
                ('mode', models.CharField(choices=[('add', "adds to the plan's limit"), ('set', "replaces the plan's limit")], max_length=3)),
                ('source', models.CharField(choices=[('add_on', 'Add-on'), ('override', 'Override')], max_length=8)),
                ('amount', models.BigIntegerField(blank=True, null=True)),
                ('reason', models.CharField(max_length=500)),
                ('starts_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ends_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='limit_adjustments', to='orgs.organization')),
            ],
            options={
                'db_table': 'limit_adjustment',
                'indexes': [models.Index(fields=['organization', 'meter'], name='adjustment_by_org')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('amount', None), ('mode', 'set')), models.Q(('amount__gte', 0), ('amount__lte', 1000000000000000)), _connector='OR'), name='limit_adjustment_amount_in_range'), models.CheckConstraint(condition=models.Q(('ends_at', None), ('ends_at__gt', models.F('starts_at')), _connector='OR'), name='limit_adjustment_ends_after_it_starts')],
            },
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('pk', models.CompositePrimaryKey('organization', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('satellite_id', models.BigIntegerField()),
                ('key', models.TextField()),
                ('meter', models.TextField()),
                ('member', models.TextField(default='')),
                ('balance_member', models.TextField(default='')),
                ('period_start', models.DateTimeField()),
                ('period_end', models.DateTimeField()),
                ('amount', models.BigIntegerField()),
                ('expires_at', models.DateTimeField()),
                ('state', models.TextField(choices=[('open', 'open'), ('committed', 'committed'), ('voided', 'voided'), ('expired', 'expired')], default='open')),
                ('created_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('organization', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='orgs.organization')),
            ],
            options={
                'db_table': 'usage_reservation',
                'indexes': [models.Index(models.F('organization'), models.F('meter'), models.F('balance_member'), models.F('period_start'), models.F('expires_at'), condition=models.Q(('state', 'open')), name='usage_reservation_open'), models.Index(models.F('expires_at'), condition=models.Q(('state', 'open')), name='usage_reservation_expiry')],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='usage_reservation_holds'), models.CheckConstraint(condition=models.Q(models.Q(('ended_at', None), ('state', 'open')), ('ended_at__isnull', False), _connector='OR'), name='usage_reservation_ends_once')],
            },
        ),
        migrations.CreateModel(
            name='ServiceToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('prefix', models.CharField(max_length=16)),
                ('token_hash', models.CharField(max_length=64, unique=True)),
                ('meters', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), blank=True, null=True, size=None)),
                ('organizations', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, null=True, size=None)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('satellite', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to='quotas.satellite')),
            ],
            options={
                'indexes': [models.Index(models.F('satellite'), models.OrderBy(models.F('created_at'), descending=True), name='service_token_newest')],
            },
        ),
        migrations.CreateModel(
            name='UsageControl',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('meter', models.SlugField(max_length=64)),
                ('choice', models.CharField(choices=[('bill', 'keep going and bill extra, up to a cap'), ('stop', 'stop at the included amount')], max_length=4)),
                ('cap', models.BigIntegerField(blank=True, null=True)),
                ('currency', models.CharField(blank=True, max_length=3)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='usage_controls', to='orgs.organization')),
            ],
            options={
                'db_table': 'usage_control',
                'constraints': [models.UniqueConstraint(fields=('organization', 'meter'), name='usage_control_once'), models.CheckConstraint(condition=models.Q(('cap', None), ('cap__gte', 0), _connector='OR'), name='usage_control_cap_not_negative')],
            },
        ),
        migrations.CreateModel(
            name='UsageLimit',
            fields=[
                ('pk', models.CompositePrimaryKey('organization', 'meter', blank=True, editable=False, primary_key=True, serialize=False)),
                ('meter', models.TextField()),
                ('kind', models.TextField(choices=[('level', 'level'), ('flow', 'flow'), ('rows', 'rows'), ('ceiling', 'ceiling')])),
                ('refusal', models.TextField(blank=True, choices=[('', 'none'), ('feature_unavailable', 'the plan does not have it'), ('payment_required', 'not during grace')], default='')),
                ('amount', models.BigIntegerField(blank=True, null=True)),
                ('hard', models.BooleanField(default=True)),
                ('per_member', models.BooleanField(default=False)),
                ('overage', models.TextField(choices=[('stop', 'stop at the limit'), ('allow', 'keep going, flagged'), ('bill', 'keep going and bill')], default='stop')),
                ('overage_cap', models.BigIntegerField(blank=True, null=True)),
                ('period_rule', models.TextField(choices=[('billing', 'billing period'), ('paid', "when the period's invoice is paid"), ('month', 'calendar month'), ('day', 'day'), ('hour', 'hour'), ('never', 'never')])),
                ('period_anchor', models.DateTimeField()),
                ('paid_until', models.DateTimeField(blank=True, null=True)),
                ('period_start', models.DateTimeField()),
                ('period_end', models.DateTimeField()),
                ('enforcement', models.TextField(choices=[('disabled', 'disabled'), ('observe', 'observe'), ('enforce', 'enforce')], default='enforce')),
                ('has_credits', models.BooleanField(default=False)),
                ('derived_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('organization', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='orgs.organization')),
            ],
            options={
                'db_table': 'usage_limit',
                'constraints': [models.CheckConstraint(condition=models.Q(('amount', None), models.Q(('amount__gte', 0), ('amount__lte', 1000000000000000)), _connector='OR'), name='usage_limit_amount_in_range'), models.CheckConstraint(condition=models.Q(('kind__in', ['level', 'flow', 'rows', 'ceiling'])), name='usage_limit_kind'), models.CheckConstraint(condition=models.Q(('period_rule__in', ['billing', 'paid', 'month', 'day', 'hour', 'never'])), name='usage_limit_period_rule'), models.CheckConstraint(condition=models.Q(('enforcement__in', ['disabled', 'observe', 'enforce'])), name='usage_limit_enforcement'), models.CheckConstraint(condition=models.Q(('period_end__gt', models.F('period_start'))), name='usage_limit_period_in_order'), models.CheckConstraint(condition=models.Q(('overage_cap', None), ('overage_cap__gte', 0), _connector='OR'), name='usage_limit_cap')],
            },
        ),
    ]
