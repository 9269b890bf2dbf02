"""The ledger: partitioned by month of the recorded time, append-only by trigger.

Django cannot say PARTITION BY, so that the table is SQL and the state is Django's.
"""

import django.db.models.deletion
from django.db import migrations, models

LEDGER = """
CREATE TABLE usage_event (
    organization_id uuid NOT NULL,
    satellite_id bigint NOT NULL,
    key text NOT NULL,
    line smallint NOT NULL,
    month date NOT NULL,
    sequence bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    verb text NOT NULL,
    meter text NOT NULL,
    member text NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    late boolean NOT NULL,
    amount bigint NOT NULL,
    delta bigint NOT NULL,
    credited bigint NOT NULL,
    billable bigint NOT NULL,
    accepted boolean NOT NULL,
    reason text,
    fingerprint bigint NOT NULL,
    used bigint NOT NULL,
    held bigint NOT NULL,
    allowance bigint,
    remaining bigint,
    overage bigint NOT NULL,
    plan text NOT NULL,
    enforcement text NOT NULL,
    dimensions jsonb,
    PRIMARY KEY (organization_id, satellite_id, key, line, month),
    CONSTRAINT usage_event_refused_counts_nothing CHECK (delta = 0 OR accepted)
) PARTITION BY RANGE (month);

-- Recorded time only grows, so that a few summary pages find what is new.
CREATE INDEX usage_event_recorded ON usage_event
    USING brin (recorded_at) WITH (autosummarize = on, pages_per_range = 32);

-- Catches rows of a month that nobody prepared; any row in it is an alarm.
CREATE TABLE usage_event_default PARTITION OF usage_event DEFAULT;

CREATE FUNCTION usage_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'usage_event is append-only: a correction is another row'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER usage_event_append_only BEFORE UPDATE OR DELETE ON usage_event
    FOR EACH ROW EXECUTE FUNCTION usage_event_is_append_only();

CREATE FUNCTION ensure_usage_partition(of_month date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first_day date := date_trunc('month', of_month)::date;
    partition text := 'usage_event_' || to_char(of_month, 'YYYYMM');
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF usage_event FOR VALUES FROM (%L) TO (%L)',
        partition, first_day, (first_day + interval '1 month')::date);
    RETURN true;
END $$;

SELECT ensure_usage_partition((now() AT TIME ZONE 'UTC')::date);
SELECT ensure_usage_partition(((now() AT TIME ZONE 'UTC') + interval '1 month')::date);
SELECT ensure_usage_partition(((now() AT TIME ZONE 'UTC') + interval '2 months')::date);

-- Rows that change with every decision keep room for their next version on the same page.
ALTER TABLE quota_head SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE plan_usage SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);
"""

NO_LEDGER = """
DROP TABLE usage_event;
DROP FUNCTION ensure_usage_partition(date);
DROP FUNCTION usage_event_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(LEDGER, NO_LEDGER)],
            state_operations=[
        migrations.CreateModel(
                    name='UsageEvent',
                    fields=[
                        ('pk', models.CompositePrimaryKey('organization', 'satellite_id', 'key', 'line', 'month', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('satellite_id', models.BigIntegerField()),
                        ('key', models.TextField()),
                        ('line', models.SmallIntegerField()),
                        ('month', models.DateField()),
                        ('sequence', models.BigIntegerField()),
                        ('recorded_at', models.DateTimeField()),
                        ('occurred_at', models.DateTimeField()),
                        ('verb', models.TextField(choices=[('consume', 'consume'), ('record', 'record'), ('release', 'release'), ('level', 'level'), ('reserve', 'reserve'), ('commit', 'commit'), ('void', 'void')])),
                        ('meter', models.TextField()),
                        ('member', models.TextField(default='')),
                        ('period_start', models.DateTimeField()),
                        ('period_end', models.DateTimeField()),
                        ('late', models.BooleanField(default=False)),
                        ('amount', models.BigIntegerField()),
                        ('delta', models.BigIntegerField()),
                        ('credited', models.BigIntegerField(default=0)),
                        ('billable', models.BigIntegerField(default=0)),
                        ('accepted', models.BooleanField()),
                        ('reason', models.TextField(null=True)),
                        ('fingerprint', models.BigIntegerField()),
                        ('used', models.BigIntegerField()),
                        ('held', models.BigIntegerField()),
                        ('allowance', models.BigIntegerField(null=True)),
                        ('remaining', models.BigIntegerField(null=True)),
                        ('overage', models.BigIntegerField(default=0)),
                        ('plan', models.TextField()),
                        ('enforcement', models.TextField()),
                        ('dimensions', models.JSONField(null=True)),
                        ('organization', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='orgs.organization')),
                    ],
                    options={
                        'db_table': 'usage_event',
                        'constraints': [models.CheckConstraint(condition=models.Q(('delta', 0), ('accepted', True), _connector='OR'), name='usage_event_refused_counts_nothing')],
                    },
                )
            ],
        ),
    ]
