"""The audit trail stays append-only, with one exception: what names people may be emptied, once the
organization is closed, the actor's account is deleted, or the address belongs to nobody any more.
"""

from django.db import migrations

MAY_BE_EMPTIED = """
CREATE FUNCTION orgs_audit_only_emptied(was orgs_auditentry, is_now orgs_auditentry)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(was) - ARRAY['actor_label', 'acting_as', 'target', 'before', 'after']
             = to_jsonb(is_now) - ARRAY['actor_label', 'acting_as', 'target', 'before', 'after']
       AND is_now.actor_label IN ('', was.actor_label)
       AND is_now.acting_as IN ('', was.acting_as)
       AND is_now.target IN ('', was.target)
       AND coalesce(is_now.before, was.before) IS NOT DISTINCT FROM was.before
       AND coalesce(is_now.after, was.after) IS NOT DISTINCT FROM was.after
       AND (
            EXISTS (SELECT FROM orgs_organization o
                    WHERE o.id = was.organization_id AND o.closed_at IS NOT NULL)
         OR EXISTS (SELECT FROM orgs_user u
                    WHERE u.id::text = was.actor_id AND u.email = u.id::text || '@deleted.invalid')
         OR (was.target LIKE '%@%'
             AND NOT EXISTS (SELECT FROM orgs_user u WHERE u.email = was.target))
       )
$$;

CREATE OR REPLACE FUNCTION orgs_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF orgs_audit_only_emptied(OLD, NEW) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', TABLE = 'orgs_auditentry';
END $$;
"""

NEVER_EMPTIED = """
CREATE OR REPLACE FUNCTION orgs_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', TABLE = 'orgs_auditentry';
END $$;
DROP FUNCTION orgs_audit_only_emptied(orgs_auditentry, orgs_auditentry);
"""


class Migration(migrations.Migration):
    dependencies = [("orgs", "0004_exports_and_deletions")]

    operations = [migrations.RunSQL(MAY_BE_EMPTIED, NEVER_EMPTIED)]
