-- What the role's own session would have, and which backend it is. The start is printed so under every DateStyle.
select
    pg_catalog.current_setting('search_path'), pg_catalog.current_setting('TimeZone'),
    pg_catalog.current_setting('DateStyle'), activity.pid,
    pg_catalog.to_char(activity.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') operator(pg_catalog.||) '+00',
    activity.application_name
from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) activity
