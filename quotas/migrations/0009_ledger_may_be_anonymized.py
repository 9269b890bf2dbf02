"""The ledger stays append-only, with one exception: of a closed organization, what could name people
may be replaced by what names nobody. No number, meter or instant of a row can ever change.
"""

from django.db import migrations

MAY_BE_ANONYMIZED = """
CREATE OR REPLACE FUNCTION usage_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF to_jsonb(OLD) - ARRAY['key', 'member', 'dimensions']
             = to_jsonb(NEW) - ARRAY['key', 'member', 'dimensions']
           AND NEW.key ~ '^gone:[0-9a-f]{32}$'
           AND (NEW.member = '' AND OLD.member = '' OR NEW.member ~ '^gone:[0-9a-f]{32}$')
           AND NEW.dimensions IS NULL
           AND EXISTS (SELECT FROM orgs_organization o
                       WHERE o.id = OLD.organization_id AND o.closed_at IS NOT NULL)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'usage_event is append-only: a correction is another row'
        USING ERRCODE = 'restrict_violation';
END $$;
"""

NEVER_ANONYMIZED = """
CREATE OR REPLACE FUNCTION usage_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'usage_event is append-only: a correction is another row'
        USING ERRCODE = 'restrict_violation';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0008_head_by_hash"), ("orgs", "0004_exports_and_deletions")]

    operations = [migrations.RunSQL(MAY_BE_ANONYMIZED, NEVER_ANONYMIZED)]
