-- Alters a job that is still there. alter_job forgets the time zone unless it is said again (2.9 to 2.30), and saying it
-- sets the next start anew, so that has to be said again, too.
select {alter_job}(
    job.id, {change},
    timezone => pg_catalog.to_jsonb(job) ->> 'timezone',
    next_start => case when pg_catalog.to_jsonb(job) ->> 'timezone' is not null
        then nullif(stat.next_start, '-infinity'::pg_catalog.timestamptz) end)
from _timescaledb_config.bgw_job job
left join _timescaledb_internal.bgw_job_stat stat on stat.job_id = job.id
where job.id = {id}
