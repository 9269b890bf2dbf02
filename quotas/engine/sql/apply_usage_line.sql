-- One consume or record of one meter, now: what apply_usage decides, with a third of its cost. What
-- is not everyday (a busy or missing head, a known key, a new period or balance, open holds,
-- credits, a ceiling) is left to apply_usage, within the same transaction.
CREATE OR REPLACE FUNCTION apply_usage_line(
    p_org uuid, p_verb text, p_satellite bigint, p_key text, p_print bigint, p_meter text,
    p_member text, p_amount bigint, p_dimensions text,
    OUT ord integer, OUT outcome text, OUT accepted boolean, OUT reason text, OUT sequence bigint,
    OUT occurred_at timestamptz, OUT used bigint, OUT held bigint, OUT allowance bigint,
    OUT remaining bigint, OUT overage bigint, OUT period_start timestamptz,
    OUT period_end timestamptz, OUT plan text, OUT enforcement text, OUT limits_sequence bigint,
    OUT credited bigint, OUT credits bigint, OUT late boolean
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    head record;
    now_there record; -- the limit, its balance, and the key's event
    clock timestamptz;
    newest date;
    delta bigint := 0;
    billable bigint := 0;
    is_everyday boolean := false;
    largest constant bigint := 1000000000000000;
BEGIN
    SELECT h.ctid AS place, h.sequence, h.limits_sequence, h.frozen_at, h.plan, h.access,
           h.valid_until
    INTO head FROM quota_head h WHERE h.organization_id = p_org FOR NO KEY UPDATE SKIP LOCKED;
    -- Read after the lock, as in apply_usage.
    clock := clock_timestamp();
    newest := date_trunc('month', clock AT TIME ZONE 'UTC');
    occurred_at := coalesce(head.frozen_at, clock);
    IF head.sequence IS NOT NULL AND (head.valid_until <= occurred_at) IS NOT TRUE THEN
        SELECT l.kind, l.refusal, l.amount AS allowance, l.hard, l.overage_cap, l.per_member,
               l.enforcement, l.period_start, l.period_end,
               b.place, b.used, b.credited, b.overage,
               l.kind IN ('flow', 'level') AND (p_member <> '' OR NOT l.per_member)
                   AND NOT (l.has_credits AND l.kind = 'flow')
                   AND b.held = 0 AND b.used + p_amount <= largest AND e.key IS NULL AS is_everyday
        INTO now_there
        FROM usage_limit l
        LEFT JOIN LATERAL (
            SELECT u.ctid AS place, u.used, u.held, u.credited, u.overage FROM plan_usage u
            WHERE u.organization_id = p_org AND u.meter = p_meter
              AND u.member = CASE WHEN l.per_member THEN p_member ELSE '' END
              AND u.period_start = l.period_start
            LIMIT 1
        ) b ON true
        LEFT JOIN LATERAL (
            SELECT v.key FROM usage_event v
            WHERE v.organization_id = p_org AND v.satellite_id = p_satellite AND v.key = p_key
              AND v.line = 0 AND v.month BETWEEN newest - interval '2 months' AND newest
            LIMIT 1
        ) e ON true
        WHERE l.organization_id = p_org AND l.meter = p_meter
          AND l.period_start <= occurred_at AND occurred_at < l.period_end
        LIMIT 1;
        is_everyday := coalesce(now_there.is_everyday, false);
    END IF;
    IF NOT is_everyday THEN
        SELECT * FROM apply_usage(
            ARRAY[p_org], ARRAY[p_verb], ARRAY[p_satellite], ARRAY[p_key], ARRAY[0::smallint],
            ARRAY[p_print], ARRAY[p_meter], ARRAY[p_member], ARRAY[p_amount],
            ARRAY[NULL::timestamptz], ARRAY[0], ARRAY[p_dimensions], 0)
        INTO ord, outcome, accepted, reason, sequence, occurred_at, used, held, allowance,
             remaining, overage, period_start, period_end, plan, enforcement, limits_sequence,
             credited, credits, late;
        RETURN;
    END IF;

    ord := 1;
    outcome := 'applied';
    sequence := head.sequence + 1;
    limits_sequence := head.limits_sequence;
    plan := head.plan;
    enforcement := now_there.enforcement;
    allowance := now_there.allowance;
    period_start := now_there.period_start;
    period_end := now_there.period_end;
    used := now_there.used;
    held := 0;
    credited := now_there.credited;
    credits := 0;
    late := false;
    IF p_verb <> 'record' AND enforcement <> 'disabled' THEN
        reason := usage_refusal(
            head.access, now_there.refusal, now_there.kind, now_there.hard, now_there.overage_cap,
            p_amount, allowance, allowance + credited - used, now_there.overage, 0);
    END IF;
    accepted := reason IS NULL OR enforcement <> 'enforce';
    IF accepted THEN
        delta := p_amount;
        used := used + delta;
        IF now_there.kind = 'flow' THEN
            billable := usage_billable(allowance, used, credited, now_there.overage, delta, 0);
        END IF;
        UPDATE plan_usage SET used = apply_usage_line.used,
               overage = now_there.overage + billable,
               period_end = apply_usage_line.period_end, updated_at = clock
        WHERE ctid = now_there.place AND organization_id = p_org;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a balance moved under the lock of its head';
        END IF;
    END IF;
    overage := usage_overage(now_there.kind, allowance, used, now_there.overage + billable);
    remaining := usage_remaining(allowance, used, 0, credited, 0);

    INSERT INTO usage_event (
        organization_id, satellite_id, key, line, month, sequence, recorded_at, occurred_at, verb,
        meter, member, per_member, period_start, period_end, late, amount, delta, credited,
        billable, accepted, reason, fingerprint, used, held, allowance, remaining, overage, plan,
        enforcement, dimensions)
    VALUES (p_org, p_satellite, p_key, 0, newest, apply_usage_line.sequence, clock,
        apply_usage_line.occurred_at, p_verb, p_meter, p_member, now_there.per_member,
        apply_usage_line.period_start, apply_usage_line.period_end, false, p_amount, delta, 0,
        billable, apply_usage_line.accepted, apply_usage_line.reason, p_print,
        apply_usage_line.used, 0, apply_usage_line.allowance, apply_usage_line.remaining,
        apply_usage_line.overage, apply_usage_line.plan, apply_usage_line.enforcement,
        p_dimensions::jsonb);
    UPDATE quota_head SET sequence = apply_usage_line.sequence
    WHERE ctid = head.place AND organization_id = p_org;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a head moved under its lock';
    END IF;
END $$;
