-- Why a consume or a reserve is refused; null where nothing stands against it. `room` is what is
-- left without overage, null for unlimited.
CREATE OR REPLACE FUNCTION usage_refusal(
    access text, refusal text, kind text, hard boolean, overage_cap bigint, amount bigint,
    allowance bigint, room bigint, overage bigint, held bigint
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN access = 'read_only' THEN 'account_locked'
        WHEN access = 'restricted' THEN 'payment_required'
        WHEN refusal <> '' THEN refusal
        WHEN kind = 'ceiling' THEN CASE WHEN amount > allowance THEN 'quota_exceeded' END
        -- A cap counts what would be billed, not what a lower limit left above it.
        WHEN amount > room AND (hard OR overage_cap < least(amount - room, amount + overage + held))
            THEN 'quota_exceeded' END
$$;

-- Units of `amount` that are billed: `amount` is part of `used` by now, and what credits paid of it
-- (`burned`) part of `credited`. Each unit is billed once, and only by what came after the limit
-- (C19).
CREATE OR REPLACE FUNCTION usage_billable(
    allowance bigint, used bigint, credited bigint, overage bigint, amount bigint, burned bigint
) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN allowance IS NULL THEN 0
                ELSE least(amount - burned,
                           greatest(used - allowance - credited - overage, 0)) END
$$;

-- What is used beyond the allowance: of a flow what was billed, of a level what there is too much.
CREATE OR REPLACE FUNCTION usage_overage(
    kind text, allowance bigint, used bigint, overage bigint
) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN kind = 'flow' THEN overage ELSE greatest(used - allowance, 0) END
$$;
