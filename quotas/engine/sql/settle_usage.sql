-- One release, level report, commit or void. Answers like apply_usage, one row per line.
--
-- Further outcomes without a row: key_gone, not_consumed, release_exceeds_usage,
-- stale_observation, observed_too_far, reservation_not_found, reservation_ended, exceeds_hold.
CREATE OR REPLACE FUNCTION settle_usage(
    p_ord integer, p_org uuid, p_verb text, p_satellite bigint, p_key text, p_print bigint,
    p_meter text, p_member text, p_amount bigint, p_observed timestamptz, p_number bigint,
    p_wait_ms integer
) RETURNS TABLE (
    ord integer, outcome text, accepted boolean, reason text, sequence bigint,
    occurred_at timestamptz, used bigint, held bigint, allowance bigint, remaining bigint,
    overage bigint, period_start timestamptz, period_end timestamptz, plan text, enforcement text,
    limits_sequence bigint, credited bigint, credits bigint, late boolean, meter text, member text
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '2s'
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    head quota_head%ROWTYPE;
    hold usage_reservation%ROWTYPE;
    lim usage_limit%ROWTYPE;
    bal plan_usage%ROWTYPE;
    past usage_event%ROWTYPE;
    clock timestamptz;
    moment timestamptz;
    newest date; oldest date; -- the months that 35 days can span (DESIGN 4.4)
    lines integer;
    result text;
    found_ok boolean := true;
    why text;
    starts timestamptz; ends timestamptz; slot text;
    change bigint; burned bigint := 0; more_overage bigint := 0; shortage bigint;
    new_overage bigint; new_credited bigint;
    expired bigint; available bigint;
    e_line smallint := 0; e_key text := p_key; e_member text := p_member; e_meter text := p_meter;
BEGIN
    IF p_wait_ms > 0 THEN
        PERFORM set_config('lock_timeout', p_wait_ms::text, true); -- until the function returns
        SELECT * INTO head FROM quota_head WHERE organization_id = p_org FOR NO KEY UPDATE;
    ELSE
        SELECT * INTO head FROM quota_head WHERE organization_id = p_org
        FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    IF NOT FOUND THEN
        ord := p_ord; accepted := false;
        outcome := CASE WHEN p_wait_ms = 0
            AND EXISTS (SELECT 1 FROM quota_head WHERE organization_id = p_org)
            THEN 'busy' ELSE 'rederive' END;
        RETURN NEXT;
        RETURN;
    END IF;
    clock := clock_timestamp();
    moment := coalesce(head.frozen_at, clock);
    newest := date_trunc('month', clock AT TIME ZONE 'UTC');
    oldest := newest - interval '2 months';
    ord := p_ord;
    accepted := false;
    late := false;
    meter := p_meter;
    member := p_member;

    -- A hold's end is filed under the hold's own key.
    IF p_verb IN ('commit', 'void') THEN
        SELECT * INTO hold FROM usage_reservation
        WHERE organization_id = p_org AND number = p_number AND satellite_id = p_satellite;
        IF NOT FOUND THEN
            outcome := 'reservation_not_found';
            RETURN NEXT;
            RETURN;
        END IF;
        e_key := hold.key; e_line := -1; e_meter := hold.meter; e_member := hold.member;
        meter := hold.meter; member := hold.member;
    END IF;

    -- Seen before? A release by key is filed as line -1 - n of the consume's key.
    IF p_verb = 'release' AND p_amount IS NULL THEN
        SELECT count(*) FILTER (WHERE line >= 0) INTO lines FROM usage_event
        WHERE organization_id = p_org AND satellite_id = p_satellite AND key = p_key
          AND month BETWEEN oldest AND newest AND verb IN ('consume', 'record');
        IF lines = 0 THEN
            outcome := CASE WHEN head.valid_until <= moment THEN 'rederive' ELSE 'key_gone' END;
            RETURN NEXT;
            RETURN;
        END IF;
        FOR past IN
            SELECT * FROM usage_event
            WHERE organization_id = p_org AND satellite_id = p_satellite AND key = p_key
              AND line < 0 AND month BETWEEN oldest AND newest ORDER BY line DESC
        LOOP
            result := 'replayed';
            outcome := result; accepted := past.accepted; reason := past.reason;
            sequence := past.sequence; occurred_at := past.occurred_at; used := past.used;
            held := past.held; allowance := past.allowance; remaining := past.remaining;
            overage := past.overage; period_start := past.period_start;
            period_end := past.period_end; plan := past.plan; enforcement := past.enforcement;
            late := past.late; meter := past.meter; member := past.member;
            RETURN NEXT;
        END LOOP;
        IF result IS NOT NULL THEN
            RETURN;
        END IF;
    ELSE
        SELECT * INTO past FROM usage_event
        WHERE organization_id = p_org AND satellite_id = p_satellite AND key = e_key
          AND line = e_line AND month BETWEEN oldest AND newest;
        IF FOUND THEN
            -- An observation that a later one has overtaken is stale, even when it is repeated.
            IF past.fingerprint <> p_print OR (p_verb = 'level' AND EXISTS (
                SELECT 1 FROM plan_usage b
                WHERE b.organization_id = p_org AND b.meter = p_meter
                  AND b.member IN ('', p_member) AND b.observed_at > p_observed))
            THEN
                outcome := CASE WHEN p_verb = 'level' THEN 'stale_observation'
                    WHEN p_verb IN ('commit', 'void') AND past.verb <> p_verb
                    THEN 'reservation_ended' ELSE 'conflict' END;
            ELSE
                outcome := 'replayed'; accepted := past.accepted; reason := past.reason;
                sequence := past.sequence; occurred_at := past.occurred_at; used := past.used;
                held := past.held; allowance := past.allowance; remaining := past.remaining;
                overage := past.overage; period_start := past.period_start;
                period_end := past.period_end; plan := past.plan;
                enforcement := past.enforcement; late := past.late;
                meter := past.meter; member := past.member;
            END IF;
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;

    IF head.valid_until <= moment THEN
        outcome := 'rederive';
        RETURN NEXT;
        RETURN;
    END IF;

    IF p_verb = 'release' AND p_amount IS NULL THEN
        -- Checked first, so that a request of several meters is released whole or not at all.
        IF EXISTS (
            SELECT 1 FROM usage_event e
            WHERE e.organization_id = p_org AND e.satellite_id = p_satellite AND e.key = p_key
              AND e.line >= 0 AND e.month BETWEEN oldest AND newest AND e.delta <= 0)
        THEN
            outcome := 'not_consumed';
            RETURN NEXT;
            RETURN;
        END IF;
        IF EXISTS (
            -- LATERAL with LIMIT 1: one index probe each, whatever the statistics say.
            SELECT 1 FROM (
                SELECT e.meter, e.period_start, sum(e.delta) AS total,
                       CASE WHEN e.per_member THEN e.member ELSE '' END AS member
                FROM usage_event e
                WHERE e.organization_id = p_org AND e.satellite_id = p_satellite AND e.key = p_key
                  AND e.line >= 0 AND e.month BETWEEN oldest AND newest
                GROUP BY e.meter, e.period_start, 4
            ) spent
            LEFT JOIN LATERAL (
                SELECT b.used FROM plan_usage b
                WHERE b.organization_id = p_org AND b.meter = spent.meter
                  AND b.member = spent.member AND b.period_start = spent.period_start
                LIMIT 1
            ) balance ON true
            WHERE coalesce(balance.used, 0) < spent.total)
        THEN
            outcome := 'release_exceeds_usage';
            RETURN NEXT;
            RETURN;
        END IF;
        FOR past IN
            SELECT * FROM usage_event
            WHERE organization_id = p_org AND satellite_id = p_satellite AND key = p_key
              AND line >= 0 AND month BETWEEN oldest AND newest ORDER BY line
        LOOP
            SELECT * INTO lim FROM usage_limit
            WHERE organization_id = p_org AND meter = past.meter;
            SELECT * INTO STRICT bal FROM plan_usage b
            WHERE b.organization_id = p_org AND b.meter = past.meter
              AND b.period_start = past.period_start
              AND b.member = CASE WHEN past.per_member THEN past.member ELSE '' END;
            IF bal.held > 0 THEN
                WITH gone AS (
                    UPDATE usage_reservation SET state = 'expired', ended_at = moment
                    WHERE organization_id = p_org AND meter = past.meter
                      AND period_start = past.period_start AND balance_member = bal.member
                      AND state = 'open' AND expires_at <= moment
                    RETURNING amount)
                SELECT coalesce(sum(amount), 0) INTO expired FROM gone;
                bal.held := bal.held - expired;
            END IF;
            -- Freed allowance first takes back what was billed, then what credits paid for.
            -- greatest() skips nulls: without the CASE, unlimited would look like no shortage.
            shortage := CASE WHEN lim.amount IS NOT NULL
                THEN greatest(bal.used - past.delta - lim.amount, 0) END;
            new_credited := least(bal.credited - past.credited,
                                  coalesce(shortage, bal.credited));
            new_credited := greatest(new_credited, 0);
            new_overage := greatest(least(bal.overage - past.billable,
                CASE WHEN shortage IS NULL THEN bal.overage
                     ELSE greatest(shortage - new_credited, 0) END), 0);
            PERFORM undo_usage_credit(p_org, past.meter, bal.credited - new_credited, moment);
            UPDATE plan_usage b
            SET used = b.used - past.delta, held = bal.held, credited = new_credited,
                overage = new_overage, updated_at = clock
            WHERE b.organization_id = p_org AND b.meter = bal.meter AND b.member = bal.member
              AND b.period_start = bal.period_start
            RETURNING * INTO bal;
            head.sequence := head.sequence + 1;
            SELECT coalesce(sum(c.remaining), 0) INTO available FROM usage_credit c
            WHERE lim.has_credits AND c.organization_id = p_org AND c.meter = past.meter
              AND c.remaining > 0 AND c.starts_at <= moment
              AND (c.expires_at IS NULL OR c.expires_at > moment);
            outcome := 'applied'; accepted := true; reason := NULL; sequence := head.sequence;
            occurred_at := moment; used := bal.used; held := bal.held; allowance := lim.amount;
            remaining := usage_remaining(lim.amount, bal.used, bal.held, bal.credited, available);
            overage := CASE WHEN lim.kind = 'flow' THEN bal.overage
                            ELSE greatest(bal.used - lim.amount, 0) END;
            period_start := past.period_start; period_end := past.period_end;
            plan := head.plan; enforcement := lim.enforcement;
            limits_sequence := head.limits_sequence; credited := bal.credited;
            credits := available; late := past.period_end <= moment;
            meter := past.meter; member := past.member;
            INSERT INTO usage_event (
                organization_id, satellite_id, key, line, month, sequence, recorded_at,
                occurred_at, verb, meter, member, per_member, period_start, period_end, late, amount, delta,
                credited, billable, accepted, reason, fingerprint, used, held, allowance,
                remaining, overage, plan, enforcement, dimensions)
            VALUES (p_org, p_satellite, p_key, -1 - past.line, newest, head.sequence, clock,
                    moment, 'release', past.meter, past.member, past.per_member, past.period_start,
                    past.period_end, late, past.delta, -past.delta, 0, 0, true, NULL, p_print,
                    used, held, allowance, remaining, overage, plan, enforcement,
                    past.dimensions);
            RETURN NEXT;
        END LOOP;
        UPDATE quota_head SET sequence = head.sequence WHERE organization_id = p_org;
        RETURN;
    END IF;

    SELECT * INTO lim FROM usage_limit l WHERE l.organization_id = p_org AND l.meter = e_meter;
    IF NOT FOUND OR (p_verb IN ('release', 'level') AND lim.kind <> 'level') THEN
        outcome := 'unknown_meter';
        RETURN NEXT;
        RETURN;
    END IF;
    -- A hold ends in the balance that has held it, whatever the limit has become.
    slot := CASE WHEN p_verb IN ('commit', 'void') THEN hold.balance_member
                 WHEN lim.per_member THEN e_member ELSE '' END;
    IF p_verb IN ('release', 'level') AND lim.per_member AND e_member = '' THEN
        outcome := 'member_required';
        RETURN NEXT;
        RETURN;
    END IF;
    IF p_verb IN ('commit', 'void') THEN
        starts := hold.period_start; ends := hold.period_end;
    ELSE
        SELECT p.starts, p.ends INTO starts, ends
        FROM usage_period(lim.period_rule, lim.period_anchor, moment, lim.paid_until) p;
    END IF;
    SELECT * INTO bal FROM plan_usage b
    WHERE b.organization_id = p_org AND b.meter = e_meter AND b.period_start = starts
      AND b.member = slot;
    IF NOT FOUND THEN
        INSERT INTO plan_usage (organization_id, meter, member, period_start, period_end, used,
                                held, credited, overage, checkpoint, updated_at)
        VALUES (p_org, e_meter, slot, starts, ends, 0, 0, 0, 0, 0, clock)
        RETURNING * INTO bal;
    END IF;
    IF bal.held > 0 THEN
        WITH gone AS (
            UPDATE usage_reservation SET state = 'expired', ended_at = moment
            WHERE organization_id = p_org AND meter = e_meter AND period_start = starts
              AND balance_member = bal.member
              AND state = 'open' AND expires_at <= moment
            RETURNING amount)
        SELECT coalesce(sum(amount), 0) INTO expired FROM gone;
        bal.held := bal.held - expired;
    END IF;
    IF lim.has_credits AND lim.kind = 'flow' THEN
        SELECT coalesce(sum(c.remaining), 0) INTO available FROM usage_credit c
        WHERE c.organization_id = p_org AND c.meter = e_meter AND c.remaining > 0
          AND c.starts_at <= moment AND (c.expires_at IS NULL OR c.expires_at > moment);
    END IF;
    available := coalesce(available, 0);
    change := 0;

    CASE p_verb
    WHEN 'release' THEN
        IF bal.used < p_amount THEN
            found_ok := false; why := 'release_exceeds_usage';
        ELSE
            change := -p_amount;
        END IF;
    WHEN 'level' THEN
        IF p_observed > clock + interval '5 minutes' THEN
            outcome := 'observed_too_far';
        ELSIF p_observed < bal.observed_at THEN
            outcome := 'stale_observation';
        ELSE
            change := p_amount - bal.used;
            bal.observed_at := p_observed;
        END IF;
    WHEN 'commit', 'void' THEN
        IF hold.state <> 'open' OR hold.expires_at <= moment THEN
            outcome := 'reservation_ended';
        ELSIF p_verb = 'commit' AND p_amount > hold.amount THEN
            outcome := 'exceeds_hold';
        ELSE
            UPDATE usage_reservation
            SET state = CASE p_verb WHEN 'commit' THEN 'committed' ELSE 'voided' END,
                ended_at = moment
            WHERE organization_id = p_org AND number = p_number;
            bal.held := bal.held - hold.amount;
            IF p_verb = 'commit' THEN
                change := p_amount;
                shortage := bal.used + change - lim.amount - bal.credited;
                IF lim.kind = 'flow' AND shortage > 0 THEN
                    burned := least(shortage, change, available);
                    IF burned > 0 THEN
                        PERFORM burn_usage_credit(p_org, e_meter, burned, moment);
                        available := available - burned;
                        bal.credited := bal.credited + burned;
                    END IF;
                    more_overage := least(change - burned,
                                          greatest(shortage - burned - bal.overage, 0));
                    bal.overage := bal.overage + more_overage;
                END IF;
            END IF;
        END IF;
    END CASE;

    bal.used := bal.used + change;
    UPDATE plan_usage b
    SET used = bal.used, held = bal.held, credited = bal.credited, overage = bal.overage,
        observed_at = bal.observed_at, updated_at = clock
    WHERE b.organization_id = p_org AND b.meter = bal.meter AND b.member = bal.member
      AND b.period_start = bal.period_start;
    IF outcome IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;

    head.sequence := head.sequence + 1;
    UPDATE quota_head SET sequence = head.sequence WHERE organization_id = p_org;
    outcome := 'applied'; accepted := found_ok; reason := why; sequence := head.sequence;
    occurred_at := moment; used := bal.used; held := bal.held; allowance := lim.amount;
    remaining := usage_remaining(lim.amount, bal.used, bal.held, bal.credited, available);
    overage := CASE WHEN lim.kind = 'flow' THEN bal.overage
                    ELSE greatest(bal.used - lim.amount, 0) END;
    period_start := starts; period_end := ends; plan := head.plan;
    enforcement := lim.enforcement; limits_sequence := head.limits_sequence;
    credited := bal.credited; credits := available; late := ends <= moment;
    INSERT INTO usage_event (
        organization_id, satellite_id, key, line, month, sequence, recorded_at, occurred_at, verb,
        meter, member, per_member, period_start, period_end, late, amount, delta, credited,
        billable, accepted, reason, fingerprint, used, held, allowance, remaining, overage, plan,
        enforcement, dimensions)
    VALUES (p_org, p_satellite, e_key, e_line, newest, head.sequence, clock, moment, p_verb,
            e_meter, e_member, bal.member <> '', starts, ends, late,
            coalesce(p_amount, hold.amount), change, burned, more_overage, found_ok, why, p_print,
            used, held, allowance, remaining, overage, plan, enforcement, NULL);
    RETURN NEXT;
END $$;
