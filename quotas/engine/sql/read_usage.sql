-- Readings for `check`: what a decision would see now, without locks. `balance` is the member's
-- own where the limit is per member. Outcomes: ok, rederive, unknown_meter, member_required.
CREATE OR REPLACE FUNCTION read_usage(p_orgs uuid[], p_meters text[], p_members text[])
RETURNS TABLE (
    ord integer, outcome text, sequence bigint, limits_sequence bigint, clock timestamptz,
    frozen_at timestamptz, valid_until timestamptz, plan text, access text, kind text,
    refusal text, hard boolean, overage_cap bigint, per_member boolean, enforcement text,
    allowance bigint, used bigint, held bigint, credited bigint, overage bigint, credits bigint,
    period_start timestamptz, period_end timestamptz, resets boolean
)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    now_here timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    SELECT t.ord::integer,
           CASE WHEN h.organization_id IS NULL
                  OR h.valid_until <= coalesce(h.frozen_at, now_here) THEN 'rederive'
                WHEN l.meter IS NULL THEN 'unknown_meter'
                WHEN l.per_member AND t.member = '' THEN 'member_required'
                ELSE 'ok' END,
           h.sequence, h.limits_sequence, now_here, h.frozen_at, h.valid_until, h.plan, h.access,
           l.kind, l.refusal, l.hard, l.overage_cap, l.per_member, l.enforcement, l.amount,
           coalesce(b.used, 0),
           CASE WHEN b.held > 0 THEN b.held - (
               SELECT coalesce(sum(r.amount), 0)::bigint FROM usage_reservation r
               WHERE r.organization_id = t.org AND r.meter = t.meter
                 AND r.balance_member = b.member AND r.period_start = b.period_start
                 AND r.state = 'open' AND r.expires_at <= coalesce(h.frozen_at, now_here))
               ELSE 0 END,
           coalesce(b.credited, 0), coalesce(b.overage, 0),
           CASE WHEN l.has_credits AND l.kind = 'flow' THEN (
               SELECT coalesce(sum(c.remaining), 0)::bigint FROM usage_credit c
               WHERE c.organization_id = t.org AND c.meter = t.meter AND c.remaining > 0
                 AND c.starts_at <= coalesce(h.frozen_at, now_here)
                 AND (c.expires_at IS NULL OR c.expires_at > coalesce(h.frozen_at, now_here)))
               ELSE 0 END,
           p.starts, p.ends, l.period_rule <> 'never'
    FROM unnest(p_orgs, p_meters, p_members) WITH ORDINALITY AS t(org, meter, member, ord)
    -- LATERAL with LIMIT 1, as in apply_usage: one index probe each, whatever the statistics say.
    LEFT JOIN LATERAL (
        SELECT * FROM quota_head WHERE organization_id = t.org LIMIT 1
    ) h ON true
    LEFT JOIN LATERAL (
        SELECT * FROM usage_limit
        WHERE organization_id = t.org AND usage_limit.meter = t.meter LIMIT 1
    ) l ON true
    LEFT JOIN LATERAL (
        SELECT l.period_start AS starts, l.period_end AS ends
        WHERE coalesce(h.frozen_at, now_here) >= l.period_start
          AND coalesce(h.frozen_at, now_here) < l.period_end
        UNION ALL
        SELECT u.starts, u.ends
        FROM usage_period(l.period_rule, l.period_anchor, coalesce(h.frozen_at, now_here),
                          l.paid_until) u
        WHERE NOT (coalesce(h.frozen_at, now_here) >= l.period_start
          AND coalesce(h.frozen_at, now_here) < l.period_end)
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT * FROM plan_usage
        WHERE organization_id = t.org AND plan_usage.meter = t.meter
          AND plan_usage.member = CASE WHEN l.per_member THEN t.member ELSE '' END
          AND plan_usage.period_start = p.starts
        LIMIT 1
    ) b ON true
    ORDER BY t.ord;
END $$;
