-- What our sessions ($1) are doing, whom they wait for, and who waits behind them, as far as the role may see it.
-- Queries of others are shown by their first words alone: the rest may hold values.
with waiting as (
    select pid, min(waitstart) as since from pg_catalog.pg_locks where not granted group by pid
), described as (
    select activity.pid, concat_ws(', ',
        nullif(activity.application_name, ''),
        nullif(activity.backend_type, 'client backend'),
        case
            when activity.backend_type = 'autovacuum worker' then left(activity.query, 100)
            else lower(substring(activity.query from '^\s*([[:alpha:]]+(\s+[[:alpha:]]+)?)'))
        end) as description
    from pg_catalog.pg_stat_activity activity
)
select
    activity.pid, activity.application_name, 'ours' as relation,
    coalesce(activity.wait_event_type = 'Client' or activity.state like 'idle%', false) as waits_for_us,
    blocker.pid as other, described.description as description,
    coalesce(extract(epoch from clock_timestamp() - waiting.since), 0)::float8 as seconds
from pg_catalog.pg_stat_activity activity
left join waiting on waiting.pid = activity.pid
left join lateral (
    select pid from unnest(pg_catalog.pg_blocking_pids(activity.pid)) blocker (pid) where waiting.pid is not null limit 1
) blocker on true
left join described on described.pid = blocker.pid
where activity.pid = any ($1)
union all
select
    blocked.pid, '', 'behind us', false, blocked.pid, described.description,
    coalesce(extract(epoch from clock_timestamp() - blocked.since), 0)::float8
from waiting blocked
left join described on described.pid = blocked.pid
where blocked.pid <> all ($1) and pg_catalog.pg_blocking_pids(blocked.pid) && $1
