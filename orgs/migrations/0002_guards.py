"""What the database itself refuses: an ownerless organization, a reused slug, a rewritten past."""

from django.db import migrations

KEEP_AN_OWNER = """
CREATE FUNCTION orgs_require_owner(subject uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    closed timestamptz;
BEGIN
    -- The row lock makes two owners who demote each other take turns: the second sees the first's
    -- work, because every statement of a volatile function has its own snapshot.
    SELECT closed_at INTO closed FROM orgs_organization WHERE id = subject FOR NO KEY UPDATE;
    IF NOT FOUND OR closed IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM 1 FROM orgs_membership WHERE organization_id = subject AND role = 'owner' LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'organization % would have no owner', subject
            USING ERRCODE = 'check_violation', CONSTRAINT = 'organization_keeps_an_owner',
                  TABLE = 'orgs_organization';
    END IF;
END $$;

CREATE FUNCTION orgs_membership_keeps_an_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orgs_require_owner(OLD.organization_id);
    RETURN NULL;
END $$;

CREATE FUNCTION orgs_organization_keeps_an_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orgs_require_owner(NEW.id);
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER membership_update_keeps_an_owner
    AFTER UPDATE OF role, organization_id ON orgs_membership
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.role = 'owner')
    EXECUTE FUNCTION orgs_membership_keeps_an_owner();

CREATE CONSTRAINT TRIGGER membership_delete_keeps_an_owner
    AFTER DELETE ON orgs_membership
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.role = 'owner')
    EXECUTE FUNCTION orgs_membership_keeps_an_owner();

CREATE CONSTRAINT TRIGGER organization_starts_with_an_owner
    AFTER INSERT OR UPDATE OF closed_at ON orgs_organization
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.closed_at IS NULL)
    EXECUTE FUNCTION orgs_organization_keeps_an_owner();
"""

DROP_KEEP_AN_OWNER = """
DROP TRIGGER organization_starts_with_an_owner ON orgs_organization;
DROP TRIGGER membership_delete_keeps_an_owner ON orgs_membership;
DROP TRIGGER membership_update_keeps_an_owner ON orgs_membership;
DROP FUNCTION orgs_organization_keeps_an_owner();
DROP FUNCTION orgs_membership_keeps_an_owner();
DROP FUNCTION orgs_require_owner(uuid);
"""

REMEMBER_SLUGS = """
CREATE FUNCTION orgs_remember_slug() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orgs_slughistory (slug, organization_id) VALUES (NEW.slug, NEW.id)
        ON CONFLICT (slug) DO NOTHING;
    PERFORM 1 FROM orgs_slughistory WHERE slug = NEW.slug AND organization_id = NEW.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'slug % has belonged to another organization', NEW.slug
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'organization_slug_never_reused',
                  TABLE = 'orgs_organization';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER organization_slug_is_remembered
    AFTER INSERT OR UPDATE OF slug ON orgs_organization
    FOR EACH ROW EXECUTE FUNCTION orgs_remember_slug();
"""

DROP_REMEMBER_SLUGS = """
DROP TRIGGER organization_slug_is_remembered ON orgs_organization;
DROP FUNCTION orgs_remember_slug();
"""

APPEND_ONLY_AUDIT = """
CREATE FUNCTION orgs_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', TABLE = 'orgs_auditentry';
END $$;

CREATE TRIGGER audit_refuses_change
    BEFORE UPDATE OR DELETE ON orgs_auditentry
    FOR EACH ROW EXECUTE FUNCTION orgs_audit_is_append_only();

CREATE TRIGGER audit_refuses_truncate
    BEFORE TRUNCATE ON orgs_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION orgs_audit_is_append_only();
"""

DROP_APPEND_ONLY_AUDIT = """
DROP TRIGGER audit_refuses_truncate ON orgs_auditentry;
DROP TRIGGER audit_refuses_change ON orgs_auditentry;
DROP FUNCTION orgs_audit_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial")]

    operations = [
        migrations.RunSQL(KEEP_AN_OWNER, DROP_KEEP_AN_OWNER),
        migrations.RunSQL(REMEMBER_SLUGS, DROP_REMEMBER_SLUGS),
        migrations.RunSQL(APPEND_ONLY_AUDIT, DROP_APPEND_ONLY_AUDIT),
    ]
