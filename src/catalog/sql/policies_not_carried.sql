-- What a new hypertable will not have of this one's behaviour, and jobs that know this one although they are not its
-- own: one that holds the id goes on with the old table. $1: hypertable id, $2: schema, $3: name.
with job as (
    select
        format('%I.%I (job %s)', row ->> 'proc_schema', row ->> 'proc_name', row ->> 'id') as object,
        row -> 'config' as config
    from (select to_jsonb(job) as row from _timescaledb_config.bgw_job job) jobs
    where (row ->> 'hypertable_id')::int is distinct from $1 and (row ->> 'id')::int >= 1000
)
select 'adaptive chunking' as kind, format('chunks of %s bytes', row ->> 'chunk_target_size') as object
from (select to_jsonb(hypertable) as row from _timescaledb_catalog.hypertable where id = $1) hypertable
where coalesce((row ->> 'chunk_target_size')::bigint, 0) > 0
union all
select 'schema of chunks', quote_ident(associated_schema_name)
from _timescaledb_catalog.hypertable where id = $1 and associated_schema_name <> '_timescaledb_internal'
union all
select 'prefix of chunks', quote_ident(associated_table_prefix)
from _timescaledb_catalog.hypertable where id = $1 and associated_table_prefix <> '_hyper_' || id
union all
select 'direct compress', 'rows are compressed as they come'
from (select to_jsonb(hypertable) as row from _timescaledb_catalog.hypertable where id = $1) hypertable
where coalesce((row ->> 'status')::int, 0) & 8 = 8
union all
select 'job with the hypertable''s id', object from job
where config @? format('$.**.hypertable_id ? (@ == %s)', $1)::jsonpath
union all
select 'job that names the table', object from job
where exists (
    select from jsonb_path_query(config, '$.**') value
    where value #>> '{}' in ($3, $2 || '.' || $3, format('%I', $3), format('%I.%I', $2, $3)))
order by kind, object
