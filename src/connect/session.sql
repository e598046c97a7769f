-- What the role's own session would have, and which backend it is. The start is printed so under every DateStyle.
select
    -- Settings that decide what names and values mean, and what values look like to functions of the users.
    array[
        'search_path', 'TimeZone', 'DateStyle', 'IntervalStyle', 'lc_monetary', 'xmloption', 'array_nulls',
        'bytea_output', 'extra_float_digits', 'xmlbinary', 'quote_all_identifiers', 'standard_conforming_strings'
    ] as names,
    array[
        pg_catalog.current_setting('search_path'), pg_catalog.current_setting('TimeZone'),
        pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('IntervalStyle'),
        pg_catalog.current_setting('lc_monetary'), pg_catalog.current_setting('xmloption'),
        pg_catalog.current_setting('array_nulls'), pg_catalog.current_setting('bytea_output'),
        pg_catalog.current_setting('extra_float_digits'), pg_catalog.current_setting('xmlbinary'),
        pg_catalog.current_setting('quote_all_identifiers'), pg_catalog.current_setting('standard_conforming_strings')
    ] as values,
    activity.pid,
    pg_catalog.to_char(activity.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') operator(pg_catalog.||) '+00',
    activity.application_name
from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) activity
