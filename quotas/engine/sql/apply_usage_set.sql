-- Raises where a row is no longer in its place: whoever moved it did not hold the head.
CREATE OR REPLACE FUNCTION usage_moved_none(wanted bigint, done bigint) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF done <> wanted THEN
        RAISE EXCEPTION 'a balance moved under the lock of its head';
    END IF;
    RETURN true;
END $$;

-- Consumes and records decided as a set: what apply_usage decides line by line, at a fraction of its
-- cost. An organization of which a single line is not everyday (a busy or missing head, a refusal, a
-- known key, another period than the current one, a new balance, open holds, credits, a ceiling) is
-- answered `undecided`, and nothing of it is stored: its lines are left to apply_usage.
--
-- No two requests of the call may have the same key.
CREATE OR REPLACE FUNCTION apply_usage_set(
    p_orgs uuid[], p_verbs text[], p_satellites bigint[], p_keys text[], p_lines smallint[],
    p_prints bigint[], p_meters text[], p_members text[], p_amounts bigint[],
    p_occurred timestamptz[], p_dimensions text[]
) RETURNS TABLE (
    ord integer, outcome text, accepted boolean, reason text, sequence bigint,
    occurred_at timestamptz, used bigint, held bigint, allowance bigint, remaining bigint,
    overage bigint, period_start timestamptz, period_end timestamptz, plan text, enforcement text,
    limits_sequence bigint, credited bigint, credits bigint, late boolean
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    clock timestamptz;
    newest date; oldest date; -- the months that 35 days can span (DESIGN 4.4)
    h_org uuid[]; h_sequence bigint[]; h_limits bigint[]; h_frozen timestamptz[];
    h_plan text[]; h_access text[]; h_valid timestamptz[]; h_place tid[];
    largest constant bigint := 1000000000000000;
BEGIN
    SELECT array_agg(q.organization_id), array_agg(q.sequence), array_agg(q.limits_sequence),
           array_agg(q.frozen_at), array_agg(q.plan), array_agg(q.access),
           array_agg(q.valid_until), array_agg(q.place)
    INTO h_org, h_sequence, h_limits, h_frozen, h_plan, h_access, h_valid, h_place
    FROM (SELECT DISTINCT u.org FROM unnest(p_orgs) AS u(org) ORDER BY u.org) asked
    CROSS JOIN LATERAL (
        SELECT *, ctid AS place FROM quota_head WHERE organization_id = asked.org
        FOR NO KEY UPDATE SKIP LOCKED) q;
    -- Read after the locks, as in apply_usage.
    clock := clock_timestamp();
    newest := date_trunc('month', clock AT TIME ZONE 'UTC');
    oldest := newest - interval '2 months';

    RETURN QUERY
    WITH line AS (
        SELECT t.ord, t.org, t.verb, t.satellite, t.key, t.line, t.print, t.meter, t.member,
               t.amount, t.dimensions, head.ord AS head, head.place AS head_place, head.sequence,
               head.limits, head.plan, head.access,
               coalesce(t.occurred, head.frozen_at, clock) AS at,
               l.kind, l.refusal, l.amount AS allowance, l.hard, l.overage_cap, l.per_member,
               l.enforcement, l.period_start AS starts, l.period_end AS ends,
               b.place, b.used, b.credited, b.overage,
               coalesce(head.valid_until > coalesce(head.frozen_at, clock), head.ord IS NOT NULL)
                   AND l.kind IN ('flow', 'level') AND (t.member <> '' OR NOT l.per_member)
                   AND NOT (l.has_credits AND l.kind = 'flow') AND b.held = 0
                   AND l.period_start <= coalesce(head.frozen_at, clock)
                   AND coalesce(head.frozen_at, clock) < l.period_end
                   AND coalesce(t.occurred BETWEEN
                           greatest(l.period_start, coalesce(head.frozen_at, clock) - interval '35 days')
                           AND coalesce(head.frozen_at, clock), true)
                   AND e.key IS NULL AS is_everyday
        FROM unnest(p_orgs, p_verbs, p_satellites, p_keys, p_lines, p_prints, p_meters, p_members,
                    p_amounts, p_occurred, p_dimensions) WITH ORDINALITY
             AS t(org, verb, satellite, key, line, print, meter, member, amount, occurred,
                  dimensions, ord)
        LEFT JOIN unnest(h_org, h_sequence, h_limits, h_frozen, h_plan, h_access, h_valid, h_place)
             WITH ORDINALITY
             AS head(org, sequence, limits, frozen_at, plan, access, valid_until, place, ord)
             ON head.org = t.org
        LEFT JOIN LATERAL (
            SELECT * FROM usage_limit u
            WHERE u.organization_id = t.org AND u.meter = t.meter LIMIT 1
        ) l ON true
        LEFT JOIN LATERAL (
            SELECT u.ctid AS place, u.used, u.held, u.credited, u.overage FROM plan_usage u
            WHERE u.organization_id = t.org AND u.meter = t.meter
              AND u.member = CASE WHEN l.per_member THEN t.member ELSE '' END
              AND u.period_start = l.period_start
            LIMIT 1
        ) b ON true
        LEFT JOIN LATERAL (
            SELECT v.key FROM usage_event v
            WHERE v.organization_id = t.org AND v.satellite_id = t.satellite AND v.key = t.key
              AND v.line = t.line AND v.month BETWEEN oldest AND newest
            LIMIT 1
        ) e ON true
    ), added AS (
        SELECT line.*, (sum(line.amount) OVER balance)::bigint AS so_far,
               line.sequence + row_number() OVER ledger AS number
        FROM line
        WINDOW balance AS (PARTITION BY line.place ORDER BY line.ord ROWS UNBOUNDED PRECEDING),
               ledger AS (PARTITION BY line.head ORDER BY line.ord ROWS UNBOUNDED PRECEDING)
    ), billed AS (
        SELECT added.*, added.used + added.so_far AS now_used,
               CASE WHEN added.kind = 'flow' THEN usage_billable(
                   added.allowance, added.used + added.so_far, added.credited, added.overage,
                   added.so_far, 0) ELSE 0 END AS billed,
               CASE WHEN added.kind = 'flow' THEN usage_billable(
                   added.allowance, added.used + added.so_far - added.amount, added.credited,
                   added.overage, added.so_far - added.amount, 0) ELSE 0 END AS billed_before
        FROM added
    ), judged AS (
        SELECT billed.*,
               bool_and(coalesce(
                   billed.is_everyday AND billed.now_used <= largest
                   AND (billed.verb = 'record' OR billed.enforcement = 'disabled'
                        OR usage_refusal(
                            billed.access, billed.refusal, billed.kind, billed.hard,
                            billed.overage_cap, billed.amount, billed.allowance,
                            billed.allowance + billed.credited - billed.now_used + billed.amount,
                            billed.overage + billed.billed_before, 0) IS NULL),
                   false)) OVER (PARTITION BY billed.head) AS fits,
               usage_overage(billed.kind, billed.allowance, billed.now_used,
                             billed.overage + billed.billed) AS now_overage,
               usage_remaining(billed.allowance, billed.now_used, 0, billed.credited, 0)
                   AS remaining
        FROM billed
    ), appended AS (
        INSERT INTO usage_event (
            organization_id, satellite_id, key, line, month, sequence, recorded_at, occurred_at,
            verb, meter, member, per_member, period_start, period_end, late, amount, delta,
            credited, billable, accepted, reason, fingerprint, used, held, allowance, remaining,
            overage, plan, enforcement, dimensions)
        SELECT j.org, j.satellite, j.key, j.line, newest, j.number, clock, j.at, j.verb, j.meter,
               j.member, j.per_member, j.starts, j.ends, false, j.amount, j.amount, 0,
               j.billed - j.billed_before, true, NULL, j.print, j.now_used, 0, j.allowance,
               j.remaining, j.now_overage, j.plan, j.enforcement, j.dimensions::jsonb
        FROM judged j WHERE j.fits
    ), balance AS (
        SELECT j.org, j.place, max(j.now_used) AS used, max(j.overage + j.billed) AS overage,
               max(j.ends) AS ends
        FROM judged j WHERE j.fits GROUP BY j.org, j.place
    ), counted AS (
        UPDATE plan_usage b
        SET used = t.used, overage = t.overage, period_end = t.ends, updated_at = clock
        FROM balance t WHERE b.ctid = t.place AND b.organization_id IS NOT DISTINCT FROM t.org
        RETURNING 1
    ), ledger AS (
        SELECT j.org, j.head_place AS place, max(j.number) AS number
        FROM judged j WHERE j.fits GROUP BY j.org, j.head_place
    ), numbered AS (
        UPDATE quota_head q SET sequence = t.number
        FROM ledger t WHERE q.ctid = t.place AND q.organization_id IS NOT DISTINCT FROM t.org
        RETURNING 1
    )
    SELECT j.ord::integer, CASE WHEN j.fits THEN 'applied' ELSE 'undecided' END, true, NULL::text, j.number, j.at,
           j.now_used, 0::bigint, j.allowance, j.remaining, j.now_overage, j.starts, j.ends,
           j.plan, j.enforcement, j.limits, j.credited, 0::bigint, false
    FROM judged j
    WHERE usage_moved_none((SELECT count(*) FROM balance), (SELECT count(*) FROM counted))
      AND usage_moved_none((SELECT count(*) FROM ledger), (SELECT count(*) FROM numbered))
    ORDER BY j.ord;
END $$;
