-- The jobs of a hypertable, or of a continuous aggregate's materialization. Since 2.25 the relation is a view over a
-- table that has moved. $1: hypertable id.
select
    (row ->> 'id')::int as id,
    jsonb_build_object('schema', row ->> 'proc_schema', 'name', row ->> 'proc_name') as procedure,
    case when row ->> 'check_name' is not null
        then jsonb_build_object('schema', row ->> 'check_schema', 'name', row ->> 'check_name') end as check,
    pg_get_userbyid((row ->> 'owner')::regrole) as owner,
    pg_has_role((row ->> 'owner')::regrole, 'usage') as may_alter,
    (row ->> 'scheduled')::bool as scheduled,
    row ->> 'schedule_interval' as schedule_interval,
    row ->> 'max_runtime' as max_runtime,
    (row ->> 'max_retries')::int as max_retries,
    row ->> 'retry_period' as retry_period,
    coalesce((row ->> 'fixed_schedule')::bool, false) as fixed_schedule,
    row ->> 'initial_start' as initial_start,
    row ->> 'timezone' as timezone,
    row -> 'config' as config,
    nullif(stat.next_start, '-infinity') as next_start
from (select to_jsonb(job) as row from _timescaledb_config.bgw_job job) jobs
left join _timescaledb_internal.bgw_job_stat stat on stat.job_id = (row ->> 'id')::int
where (row ->> 'hypertable_id')::int = $1
order by (row ->> 'id')::int
