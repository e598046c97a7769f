-- Every hypertable of the database, for people. Internal ones are left out. The text of partitioning_type.sql is put in.
with hypertable as (
    select
        (row ->> 'id')::int as id,
        row ->> 'schema_name' as schema,
        row ->> 'table_name' as name,
        to_regclass(format('%I.%I', row ->> 'schema_name', row ->> 'table_name')) as relation
    from (select to_jsonb(hypertable) as row from _timescaledb_catalog.hypertable) hypertables
    where coalesce((row ->> 'compression_state')::int, 0) <> 2
), chunk as (
    select
        (row ->> 'hypertable_id')::int as hypertable_id,
        coalesce((row ->> 'relid')::regclass, to_regclass(format('%I.%I', row ->> 'schema_name', row ->> 'table_name'))) as relation
    from (select to_jsonb(chunk) as row from _timescaledb_catalog.chunk) chunks
    where not coalesce((row ->> 'dropped')::bool, false)
), measured as (
    select
        chunk.hypertable_id,
        count(*) as chunks,
        sum(pg_total_relation_size(chunk.relation)) as bytes,
        sum(nullif(class.reltuples, -1))::bigint as rows
    from chunk
    join pg_catalog.pg_class class on class.oid = chunk.relation
    group by chunk.hypertable_id
)
select
    hypertable.schema,
    hypertable.name,
    coalesce(measured.chunks, 0) as chunks,
    coalesce(measured.bytes, 0)::bigint as total_bytes,
    measured.rows as estimated_rows,
    (
        select jsonb_agg(jsonb_build_object('id', dimension.id, 'column', dimension.column_name,
            'column_type', dimension.column_type::regtype::text, 'partitions', dimension.num_slices,
            'interval_length', dimension.interval_length,
            'partitioning_function_schema', dimension.partitioning_func_schema,
            'partitioning_function', dimension.partitioning_func,
            'partitioning_type', ({partitioning_type})) order by dimension.id)
        from _timescaledb_catalog.dimension, to_jsonb(dimension) row
        where dimension.hypertable_id = hypertable.id
    ) as dimensions
from hypertable
left join measured on measured.hypertable_id = hypertable.id
where hypertable.relation is not null
order by hypertable.schema, hypertable.name
