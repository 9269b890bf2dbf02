-- What may still be used without overage; null for unlimited.
CREATE OR REPLACE FUNCTION usage_remaining(
    allowance bigint, used bigint, held bigint, credited bigint, credits bigint
) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN allowance IS NULL THEN NULL
                ELSE greatest(allowance + credited - used - held, 0) + credits END
$$;

-- Units that credit packs still hold. They are the organization's: all of its members share them.
CREATE OR REPLACE FUNCTION usage_credit_left(p_org uuid, p_meter text, p_moment timestamptz)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(remaining), 0) FROM usage_credit
        WHERE organization_id = p_org AND meter = p_meter AND remaining > 0
          AND starts_at <= p_moment AND (expires_at IS NULL OR expires_at > p_moment));
END $$;

-- Takes units from credit packs: lowest priority number, then soonest expiry, then oldest. The
-- caller holds the head's lock and knows that they suffice.
CREATE OR REPLACE FUNCTION burn_usage_credit(
    p_org uuid, p_meter text, p_units bigint, p_moment timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
    need bigint := p_units;
BEGIN
    FOR c IN
        SELECT id, remaining FROM usage_credit
        WHERE organization_id = p_org AND meter = p_meter AND remaining > 0
          AND starts_at <= p_moment AND (expires_at IS NULL OR expires_at > p_moment)
        ORDER BY priority, expires_at NULLS LAST, id
    LOOP
        EXIT WHEN need = 0;
        UPDATE usage_credit SET remaining = remaining - least(c.remaining, need)
        WHERE organization_id = p_org AND id = c.id;
        need := need - least(c.remaining, need);
    END LOOP;
    IF need > 0 THEN
        RAISE EXCEPTION 'credits of % for % fell short by %', p_org, p_meter, need;
    END IF;
END $$;

-- Gives units back to packs that are still valid, last burned first. What only expired packs
-- could take is lost, as it would have been unused.
CREATE OR REPLACE FUNCTION undo_usage_credit(
    p_org uuid, p_meter text, p_units bigint, p_moment timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
    rest bigint := p_units;
BEGIN
    IF rest <= 0 THEN
        RETURN;
    END IF;
    FOR c IN
        SELECT id, amount - remaining AS burned FROM usage_credit
        WHERE organization_id = p_org AND meter = p_meter AND remaining < amount
          AND starts_at <= p_moment AND (expires_at IS NULL OR expires_at > p_moment)
        ORDER BY priority DESC, expires_at DESC NULLS FIRST, id DESC
    LOOP
        EXIT WHEN rest = 0;
        UPDATE usage_credit SET remaining = remaining + least(c.burned, rest)
        WHERE organization_id = p_org AND id = c.id;
        rest := rest - least(c.burned, rest);
    END LOOP;
    UPDATE usage_limit SET has_credits = true
    WHERE organization_id = p_org AND meter = p_meter AND NOT has_credits;
END $$;
