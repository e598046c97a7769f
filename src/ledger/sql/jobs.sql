-- All jobs, and how far each is.
with done as (
    select task.job, task.rows from _hypercopy.task where task.completed_at is not null
    union all
    select block.job, block.rows from _hypercopy.block
)
select
    job.id, job.kind, job.target_oid::bigint as target_oid, job.target_name, job.made_table,
    job.source_system, job.source_database, job.source_name, job.request, job.plan, job.state, job.run, job.report,
    job.version, job.started_at::text as started_at, job.finished_at::text as finished_at,
    exists (select from pg_catalog.pg_class class where class.oid = job.target_oid) as has_table,
    (select count(*) from done where done.job = job.id) as tasks,
    (select coalesce(sum(done.rows), 0)::bigint from done where done.job = job.id) as rows
from _hypercopy.job
order by job.id
