-- Decides and records a batch of consume, record and reserve lines: one call, one commit.
--
-- Lines of one request stand together, numbered from 0, and are applied all or none. Per request,
-- in order: seen this key? (DESIGN 4.4) → the organization's head, locked → `valid_until` → the
-- period → expired holds → allowance, credits, holds, policy → append, add up. Refusals are rows
-- with delta 0. Heads are locked in the order of their ids; with p_wait_ms 0 a busy one is
-- skipped and its lines are answered `busy`.
--
-- Outcomes: applied (stored now), replayed (stored before), conflict (other body under this key),
-- and, without a row: rederive, busy, unknown_meter, member_required, too_old, too_far,
-- out_of_range.
CREATE OR REPLACE FUNCTION apply_usage(
    p_orgs uuid[], p_verbs text[], p_satellites bigint[], p_keys text[], p_lines smallint[],
    p_prints bigint[], p_meters text[], p_members text[], p_amounts bigint[],
    p_occurred timestamptz[], p_seconds integer[], p_dimensions text[], p_wait_ms integer
) RETURNS TABLE (
    ord integer, outcome text, accepted boolean, reason text, sequence bigint,
    occurred_at timestamptz, used bigint, held bigint, allowance bigint, remaining bigint,
    overage bigint, period_start timestamptz, period_end timestamptz, plan text, enforcement text,
    limits_sequence bigint, credited bigint, credits bigint, late boolean
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '2s'
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(p_orgs);
    clock timestamptz;
    newest date; oldest date; -- the months that 35 days can span (DESIGN 4.4)
    -- Heads, in the order of their ids; a head that is missing here was busy or does not exist.
    -- Nobody moves a row while its head is locked, so its place found once needs no second search.
    h_org uuid[]; h_sequence bigint[]; h_limits bigint[]; h_frozen timestamptz[];
    h_plan text[]; h_access text[]; h_valid timestamptz[]; h_changed boolean[];
    h_place tid[];
    -- Balances in use, each at the position of the first line that names it.
    s_used bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    s_held bigint[] := array_fill(0::bigint, ARRAY[n]);
    s_credited bigint[] := array_fill(0::bigint, ARRAY[n]);
    s_overage bigint[] := array_fill(0::bigint, ARRAY[n]);
    s_credits bigint[] := array_fill(0::bigint, ARRAY[n]);
    s_new boolean[] := array_fill(false, ARRAY[n]);
    s_place tid[] := array_fill(NULL::tid, ARRAY[n]);
    s_member text[] := array_fill(''::text, ARRAY[n]);
    s_kind text[] := array_fill(''::text, ARRAY[n]);
    s_start timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    s_end timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    s_changed boolean[] := array_fill(false, ARRAY[n]);
    -- Answers, one per line.
    o_outcome text[] := array_fill(NULL::text, ARRAY[n]);
    o_accepted boolean[] := array_fill(false, ARRAY[n]);
    o_reason text[] := array_fill(NULL::text, ARRAY[n]);
    o_sequence bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_at timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    o_delta bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_credited bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_billable bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_held_more bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_used bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_held bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_allowance bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    o_remaining bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    o_overage bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_start timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    o_end timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    o_plan text[] := array_fill(''::text, ARRAY[n]);
    o_enforcement text[] := array_fill(''::text, ARRAY[n]);
    o_limits bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_total_credited bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_credits bigint[] := array_fill(0::bigint, ARRAY[n]);
    o_late boolean[] := array_fill(false, ARRAY[n]);
    o_own boolean[] := array_fill(false, ARRAY[n]);
    o_slot integer[] := array_fill(NULL::integer, ARRAY[n]);
    r record;
    k integer; j integer; s integer; h integer; first_line integer := 1;
    mode text := 'apply'; -- of the request: apply, replay, conflict, twin, or an outcome
    twin integer; stored bigint;
    refused boolean := false; -- a line of this request was
    why text; refusal text; enforced boolean; is_flow boolean;
    room bigint; shortage bigint; burned bigint; billable bigint;
    largest constant bigint := 1000000000000000;
BEGIN
    -- In the order of their ids, one probe of the hash index each.
    IF p_wait_ms > 0 THEN
        PERFORM set_config('lock_timeout', p_wait_ms::text, true); -- until the function returns
        SELECT array_agg(q.organization_id), array_agg(q.sequence), array_agg(q.limits_sequence),
               array_agg(q.frozen_at), array_agg(q.plan), array_agg(q.access),
               array_agg(q.valid_until), array_agg(false), array_agg(q.place)
        INTO h_org, h_sequence, h_limits, h_frozen, h_plan, h_access, h_valid, h_changed,
             h_place
        FROM (SELECT DISTINCT u.org FROM unnest(p_orgs) AS u(org) ORDER BY u.org) asked
        CROSS JOIN LATERAL (
            SELECT *, ctid AS place FROM quota_head WHERE organization_id = asked.org
            FOR NO KEY UPDATE) q;
    ELSE
        SELECT array_agg(q.organization_id), array_agg(q.sequence), array_agg(q.limits_sequence),
               array_agg(q.frozen_at), array_agg(q.plan), array_agg(q.access),
               array_agg(q.valid_until), array_agg(false), array_agg(q.place)
        INTO h_org, h_sequence, h_limits, h_frozen, h_plan, h_access, h_valid, h_changed,
             h_place
        FROM (SELECT DISTINCT u.org FROM unnest(p_orgs) AS u(org) ORDER BY u.org) asked
        CROSS JOIN LATERAL (
            SELECT *, ctid AS place FROM quota_head WHERE organization_id = asked.org
            FOR NO KEY UPDATE SKIP LOCKED) q;
    END IF;
    -- Read after the locks: of two processes at a period's boundary the later one sees the later
    -- time. The next statement's snapshot sees what the former holders of the locks committed.
    clock := clock_timestamp();
    newest := date_trunc('month', clock AT TIME ZONE 'UTC');
    oldest := newest - interval '2 months';

    -- LATERAL with LIMIT 1: one index probe per line whatever the statistics say. A plain join on a
    -- young partition was planned as a scan of the organization's whole ledger, quadratic in a batch.
    FOR r IN
        WITH line AS (
            SELECT t.ord::integer AS ord, t.org, t.verb, t.satellite, t.key, t.line, t.print,
                   t.meter, t.member, t.amount, t.occurred, t.seconds,
                   head.ord::integer AS head, head.valid_until,
                   coalesce(head.frozen_at, clock) AS moment,
                   l.meter IS NOT NULL AS has_limit, l.kind, l.refusal, l.amount AS allowance,
                   l.hard, l.overage_cap, l.per_member, l.enforcement, l.has_credits,
                   l.period_start AS known_start,
                   CASE WHEN l.per_member THEN t.member ELSE '' END AS slot_member,
                   p.starts, p.ends
            FROM unnest(p_orgs, p_verbs, p_satellites, p_keys, p_lines, p_prints, p_meters,
                        p_members, p_amounts, p_occurred, p_seconds) WITH ORDINALITY
                 AS t(org, verb, satellite, key, line, print, meter, member, amount, occurred,
                      seconds, ord)
            LEFT JOIN unnest(h_org, h_frozen, h_valid) WITH ORDINALITY
                 AS head(organization_id, frozen_at, valid_until, ord)
                 ON head.organization_id = t.org
            LEFT JOIN LATERAL (
                SELECT * FROM usage_limit
                WHERE organization_id = t.org AND usage_limit.meter = t.meter LIMIT 1
            ) l ON true
            LEFT JOIN LATERAL (
                SELECT l.period_start AS starts, l.period_end AS ends
                WHERE coalesce(t.occurred, head.frozen_at, clock) >= l.period_start
                  AND coalesce(t.occurred, head.frozen_at, clock) < l.period_end
                UNION ALL
                SELECT u.starts, u.ends
                FROM usage_period(l.period_rule, l.period_anchor,
                                  coalesce(t.occurred, head.frozen_at, clock), l.paid_until) u
                WHERE NOT (coalesce(t.occurred, head.frozen_at, clock) >= l.period_start
                  AND coalesce(t.occurred, head.frozen_at, clock) < l.period_end)
            ) p ON true
        )
        SELECT line.*,
               b.used, b.held, b.credited, b.overage, b.ctid AS place,
               e.fingerprint AS seen, e.accepted AS e_accepted, e.reason AS e_reason,
               e.sequence AS e_sequence, e.occurred_at AS e_at, e.used AS e_used,
               e.held AS e_held, e.allowance AS e_allowance, e.remaining AS e_remaining,
               e.overage AS e_overage, e.period_start AS e_start, e.period_end AS e_end,
               e.plan AS e_plan, e.enforcement AS e_enforcement, e.late AS e_late,
               min(line.ord) OVER (PARTITION BY line.org, line.meter, line.slot_member,
                                   line.starts) AS slot,
               min(line.ord) OVER (PARTITION BY line.org, line.satellite, line.key,
                                   line.line) AS same_key
        FROM line
        LEFT JOIN LATERAL (
            SELECT plan_usage.*, plan_usage.ctid FROM plan_usage
            WHERE organization_id = line.org AND plan_usage.meter = line.meter
              AND plan_usage.member = line.slot_member AND plan_usage.period_start = line.starts
            LIMIT 1
        ) b ON true
        LEFT JOIN LATERAL (
            SELECT * FROM usage_event
            WHERE organization_id = line.org AND satellite_id = line.satellite
              AND key = line.key AND usage_event.line = line.line AND month BETWEEN oldest AND newest
            LIMIT 1
        ) e ON true
        ORDER BY line.ord
    LOOP
        k := r.ord;
        IF r.line = 0 THEN
            first_line := k;
            refused := false;
            IF r.head IS NULL THEN
                IF p_wait_ms > 0 OR NOT EXISTS (SELECT 1 FROM quota_head WHERE organization_id = r.org)
                THEN mode := 'rederive'; ELSE mode := 'busy'; END IF;
            ELSIF r.seen IS NOT NULL THEN
                IF r.seen = r.print THEN mode := 'replay'; ELSE mode := 'conflict'; END IF;
            ELSIF r.same_key < k THEN
                IF p_prints[r.same_key] = r.print THEN mode := 'twin';
                ELSE mode := 'conflict'; END IF;
                twin := r.same_key;
            ELSIF r.valid_until <= r.moment THEN
                mode := 'rederive';
            ELSE
                mode := 'apply';
            END IF;
        END IF;

        IF mode = 'replay' THEN
            o_outcome[k] := 'replayed'; o_accepted[k] := r.e_accepted; o_reason[k] := r.e_reason;
            o_sequence[k] := r.e_sequence; o_at[k] := r.e_at; o_used[k] := r.e_used;
            o_held[k] := r.e_held; o_allowance[k] := r.e_allowance;
            o_remaining[k] := r.e_remaining; o_overage[k] := r.e_overage; o_start[k] := r.e_start;
            o_end[k] := r.e_end; o_plan[k] := r.e_plan; o_enforcement[k] := r.e_enforcement;
            o_late[k] := r.e_late;
            CONTINUE;
        ELSIF mode = 'twin' THEN
            j := twin + r.line;
            o_outcome[k] := CASE WHEN o_outcome[j] = 'applied' THEN 'replayed'
                                 ELSE o_outcome[j] END;
            o_accepted[k] := o_accepted[j]; o_reason[k] := o_reason[j];
            o_sequence[k] := o_sequence[j]; o_at[k] := o_at[j]; o_used[k] := o_used[j];
            o_held[k] := o_held[j]; o_allowance[k] := o_allowance[j];
            o_remaining[k] := o_remaining[j]; o_overage[k] := o_overage[j];
            o_start[k] := o_start[j]; o_end[k] := o_end[j]; o_plan[k] := o_plan[j];
            o_enforcement[k] := o_enforcement[j]; o_late[k] := o_late[j];
            CONTINUE;
        ELSIF mode <> 'apply' THEN
            o_outcome[k] := mode;
            CONTINUE;
        END IF;

        h := r.head;
        s := r.slot;
        why := NULL;
        IF NOT r.has_limit OR r.kind = 'rows' THEN
            why := 'unknown_meter';
        ELSIF r.per_member AND r.member = '' THEN
            why := 'member_required';
        ELSIF r.occurred < r.moment - interval '35 days' THEN
            why := 'too_old';
        ELSIF r.occurred > r.moment + interval '5 minutes' THEN
            why := 'too_far';
        ELSIF s_used[s] IS NULL THEN
            -- The first line that names this balance loads it.
            s_used[s] := coalesce(r.used, 0);
            s_held[s] := coalesce(r.held, 0);
            s_credited[s] := coalesce(r.credited, 0);
            s_overage[s] := coalesce(r.overage, 0);
            s_new[s] := r.place IS NULL;
            s_place[s] := r.place;
            s_member[s] := r.slot_member;
            s_kind[s] := r.kind;
            s_start[s] := r.starts;
            s_end[s] := r.ends;
            IF r.occurred IS NULL AND r.starts > r.known_start THEN
                UPDATE usage_limit SET period_start = r.starts, period_end = r.ends
                WHERE organization_id = r.org AND meter = r.meter;
            END IF;
            IF s_held[s] > 0 THEN
                WITH gone AS (
                    UPDATE usage_reservation SET state = 'expired', ended_at = r.moment
                    WHERE organization_id = r.org AND meter = r.meter
                      AND balance_member = r.slot_member AND period_start = r.starts
                      AND state = 'open' AND expires_at <= r.moment
                    RETURNING amount)
                SELECT s_held[s] - coalesce(sum(amount), 0) INTO room FROM gone;
                IF room <> s_held[s] THEN
                    s_held[s] := room; s_changed[s] := true;
                END IF;
            END IF;
            IF r.has_credits AND r.kind = 'flow' THEN
                s_credits[s] := usage_credit_left(r.org, r.meter, r.moment);
            END IF;
        ELSIF r.per_member AND r.has_credits AND r.kind = 'flow' THEN
            -- Another member's line may have burned what this balance has seen.
            s_credits[s] := usage_credit_left(r.org, r.meter, r.moment);
        END IF;
        IF why IS NULL THEN
            room := r.allowance + s_credited[s] + s_credits[s] - s_used[s] - s_held[s];
            refusal := CASE WHEN r.verb <> 'record' AND r.enforcement <> 'disabled'
                THEN usage_refusal(h_access[h], r.refusal, r.kind, r.hard, r.overage_cap, r.amount,
                                   r.allowance, room, s_overage[s], s_held[s]) END;
            enforced := r.enforcement = 'enforce';
            IF r.kind <> 'ceiling' AND s_used[s] + s_held[s] + r.amount > largest
                    AND NOT refused AND (refusal IS NULL OR NOT enforced) THEN
                why := 'out_of_range';
            END IF;
        END IF;
        IF why IS NOT NULL THEN
            -- Nothing of the request is stored: what came before is taken back.
            FOR j IN first_line .. k - 1 LOOP
                PERFORM undo_usage_credit(p_orgs[j], p_meters[j], o_credited[j], r.moment);
                s := o_slot[j];
                s_used[s] := s_used[s] - o_delta[j];
                s_held[s] := s_held[s] - o_held_more[j];
                s_credited[s] := s_credited[s] - o_credited[j];
                s_credits[s] := s_credits[s] + o_credited[j];
                s_overage[s] := s_overage[s] - o_billable[j];
                o_outcome[j] := why;
            END LOOP;
            mode := why;
            o_outcome[k] := why;
            CONTINUE;
        END IF;

        is_flow := r.kind = 'flow';
        why := refusal;
        IF refused THEN
            why := 'group_refused';
            enforced := true;
        END IF;

        h_sequence[h] := h_sequence[h] + 1;
        h_changed[h] := true;
        o_outcome[k] := 'applied';
        o_slot[k] := s;
        o_reason[k] := why;
        o_sequence[k] := h_sequence[h];
        o_at[k] := coalesce(r.occurred, r.moment);
        o_late[k] := r.ends <= r.moment;
        o_own[k] := r.per_member;
        o_start[k] := r.starts; o_end[k] := r.ends;
        o_plan[k] := h_plan[h]; o_enforcement[k] := r.enforcement;
        o_allowance[k] := r.allowance;
        o_limits[k] := h_limits[h];

        IF why IS NOT NULL AND enforced THEN
            o_accepted[k] := false;
            IF NOT refused THEN
                -- All or none: the request's earlier lines are taken back and refused with it.
                refused := true;
                FOR j IN first_line .. k - 1 LOOP
                    PERFORM undo_usage_credit(p_orgs[j], p_meters[j], o_credited[j], r.moment);
                    s := o_slot[j];
                    s_used[s] := s_used[s] - o_delta[j];
                    s_held[s] := s_held[s] - o_held_more[j];
                    s_credited[s] := s_credited[s] - o_credited[j];
                    s_credits[s] := s_credits[s] + o_credited[j];
                    s_overage[s] := s_overage[s] - o_billable[j];
                    o_accepted[j] := false; o_reason[j] := 'group_refused';
                    o_delta[j] := 0; o_credited[j] := 0; o_billable[j] := 0;
                END LOOP;
                FOR j IN first_line .. k LOOP
                    s := o_slot[j];
                    s_credits[s] := usage_credit_left(p_orgs[j], p_meters[j], r.moment);
                    o_used[j] := s_used[s]; o_held[j] := s_held[s];
                    o_overage[j] := usage_overage(
                        s_kind[s], o_allowance[j], s_used[s], s_overage[s]);
                    o_total_credited[j] := s_credited[s]; o_credits[j] := s_credits[s];
                    o_remaining[j] := usage_remaining(
                        o_allowance[j], s_used[s], s_held[s], s_credited[s], s_credits[s]);
                END LOOP;
                s := r.slot;
            END IF;
        ELSE
            o_accepted[k] := true;
            IF r.kind = 'ceiling' THEN
                NULL;
            ELSIF r.verb = 'reserve' THEN
                s_held[s] := s_held[s] + r.amount;
                o_held_more[k] := r.amount;
                s_changed[s] := true;
                INSERT INTO usage_reservation (
                    organization_id, number, satellite_id, key, meter, member, balance_member,
                    period_start, period_end, amount, expires_at, state, created_at)
                VALUES (r.org, h_sequence[h], r.satellite, r.key, r.meter, r.member,
                        r.slot_member, r.starts, r.ends, r.amount,
                        r.moment + make_interval(secs => r.seconds), 'open', r.moment);
            ELSE
                s_used[s] := s_used[s] + r.amount;
                o_delta[k] := r.amount;
                s_changed[s] := true;
                IF is_flow AND r.allowance IS NOT NULL THEN
                    shortage := s_used[s] - r.allowance - s_credited[s];
                    IF shortage > 0 THEN
                        burned := least(shortage, r.amount, s_credits[s]);
                        IF burned > 0 THEN
                            PERFORM burn_usage_credit(r.org, r.meter, burned, r.moment);
                            s_credits[s] := s_credits[s] - burned;
                            s_credited[s] := s_credited[s] + burned;
                            o_credited[k] := burned;
                        END IF;
                        billable := usage_billable(r.allowance, s_used[s], s_credited[s],
                                                   s_overage[s], r.amount, burned);
                        s_overage[s] := s_overage[s] + billable;
                        o_billable[k] := billable;
                    END IF;
                END IF;
            END IF;
        END IF;
        o_used[k] := s_used[s];
        o_held[k] := s_held[s];
        o_overage[k] := usage_overage(r.kind, r.allowance, s_used[s], s_overage[s]);
        o_total_credited[k] := s_credited[s];
        o_credits[k] := s_credits[s];
        o_remaining[k] := CASE WHEN r.kind = 'ceiling' THEN r.allowance ELSE usage_remaining(
            r.allowance, s_used[s], s_held[s], s_credited[s], s_credits[s]) END;
    END LOOP;

    INSERT INTO usage_event (
        organization_id, satellite_id, key, line, month, sequence, recorded_at, occurred_at, verb,
        meter, member, per_member, period_start, period_end, late, amount, delta, credited,
        billable, accepted, reason, fingerprint, used, held, allowance, remaining, overage, plan, enforcement,
        dimensions)
    SELECT t.org, t.satellite, t.key, t.line, newest, t.sequence, clock, t.at, t.verb,
           t.meter, t.member, t.own, t.starts, t.ends, t.late, t.amount, t.delta, t.credited, t.billable,
           t.accepted, t.reason, t.print, t.used, t.held, t.allowance, t.remaining, t.overage,
           t.plan, t.enforcement, t.dimensions::jsonb
    FROM unnest(p_orgs, p_satellites, p_keys, p_lines, o_sequence, o_at, p_verbs, p_meters,
                p_members, o_own, o_start, o_end, o_late, p_amounts, o_delta, o_credited, o_billable,
                o_accepted, o_reason, p_prints, o_used, o_held, o_allowance, o_remaining,
                o_overage, o_plan, o_enforcement, p_dimensions, o_outcome)
         AS t(org, satellite, key, line, sequence, at, verb, meter, member, own, starts, ends,
              late, amount, delta, credited, billable, accepted, reason, print, used, held, allowance,
              remaining, overage, plan, enforcement, dimensions, outcome)
    WHERE t.outcome = 'applied';

    -- By place: an equality of organizations would let a young table be read by its index, every
    -- former period of the organization for each line.
    UPDATE plan_usage b
    SET used = t.used, held = t.held, credited = t.credited, overage = t.overage,
        period_end = t.ends, updated_at = clock
    FROM unnest(p_orgs, s_place, s_end, s_used, s_held, s_credited, s_overage, s_changed)
         AS t(org, place, ends, used, held, credited, overage, changed)
    WHERE t.changed AND b.ctid = t.place AND b.organization_id IS NOT DISTINCT FROM t.org;
    GET DIAGNOSTICS stored = ROW_COUNT;

    IF true = ANY (s_new) THEN
        INSERT INTO plan_usage (organization_id, meter, member, period_start, period_end, used,
                                held, credited, overage, checkpoint, updated_at)
        SELECT t.org, t.meter, t.member, t.starts, t.ends, t.used, t.held, t.credited, t.overage,
               0, clock
        FROM unnest(p_orgs, p_meters, s_member, s_start, s_end, s_used, s_held, s_credited,
                    s_overage, s_changed, s_new)
             AS t(org, meter, member, starts, ends, used, held, credited, overage, changed, is_new)
        WHERE t.changed AND t.is_new;
        GET DIAGNOSTICS k = ROW_COUNT;
        stored := stored + k;
    END IF;
    IF stored <> cardinality(array_positions(s_changed, true)) THEN
        RAISE EXCEPTION 'a balance moved under the lock of its head';
    END IF;

    UPDATE quota_head q SET sequence = t.sequence
    FROM unnest(h_org, h_place, h_sequence, h_changed) AS t(org, place, sequence, changed)
    WHERE t.changed AND q.ctid = t.place AND q.organization_id = t.org;
    GET DIAGNOSTICS stored = ROW_COUNT;
    IF stored <> cardinality(array_positions(h_changed, true)) THEN
        RAISE EXCEPTION 'a head moved under its lock';
    END IF;

    RETURN QUERY
    SELECT t.ord::integer, t.outcome, t.accepted, t.reason, t.sequence, t.at, t.used, t.held,
           t.allowance, t.remaining, t.overage, t.starts, t.ends, t.plan, t.enforcement, t.limits,
           t.credited, t.credits, t.late
    FROM unnest(o_outcome, o_accepted, o_reason, o_sequence, o_at, o_used, o_held, o_allowance,
                o_remaining, o_overage, o_start, o_end, o_plan, o_enforcement, o_limits,
                o_total_credited, o_credits, o_late) WITH ORDINALITY
         AS t(outcome, accepted, reason, sequence, at, used, held, allowance, remaining, overage,
              starts, ends, plan, enforcement, limits, credited, credits, late, ord);
END $$;
