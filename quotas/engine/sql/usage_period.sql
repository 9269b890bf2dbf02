-- The usage period that holds `moment`. The twin of quotas/engine/periods.py; a test compares them.
CREATE OR REPLACE FUNCTION usage_period(
    rule text, anchor timestamptz, moment timestamptz, paid_until timestamptz,
    OUT starts timestamptz, OUT ends timestamptz
) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    -- Without a zone: months and days are UTC's whatever the session's time zone is.
    t timestamp := moment AT TIME ZONE 'UTC';
    a timestamp := anchor AT TIME ZONE 'UTC';
    last_paid timestamptz;
    months integer;
BEGIN
    CASE rule
    WHEN 'never' THEN
        starts := '1970-01-01 00:00:00+00';
        ends := '9999-12-31 00:00:00+00';
        RETURN;
    WHEN 'hour', 'day', 'month' THEN
        starts := date_trunc(rule, t) AT TIME ZONE 'UTC';
        ends := (date_trunc(rule, t) + ('1 ' || rule)::interval) AT TIME ZONE 'UTC';
        RETURN;
    WHEN 'paid' THEN
        IF moment >= paid_until THEN
            last_paid := paid_until - interval '1 microsecond';
            SELECT p.starts INTO starts FROM usage_period('billing', anchor, last_paid, NULL) p;
            SELECT p.ends INTO ends FROM usage_period('billing', anchor, moment, NULL) p;
            RETURN;
        END IF;
    WHEN 'billing' THEN
        NULL;
    END CASE;
    -- Counted from the same anchor each time: 31 Jan, 28 Feb, 31 Mar.
    months := (extract(year FROM t) - extract(year FROM a)) * 12
        + extract(month FROM t) - extract(month FROM a);
    IF a + make_interval(months => months) > t THEN
        months := months - 1;
    END IF;
    starts := (a + make_interval(months => months)) AT TIME ZONE 'UTC';
    ends := (a + make_interval(months => months + 1)) AT TIME ZONE 'UTC';
END $$;
