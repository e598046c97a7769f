-- The dimensions: the primary one, further ones with an interval, then those of hashes, each kind in the order in which they
-- were added. TimescaleDB lets them come in any; nothing but lists depends on it. $1: hypertable id.
-- The text of partitioning_type.sql is put in.
select
    (row ->> 'id')::int as id,
    row ->> 'column_name' as column,
    (row ->> 'column_type')::regtype::text as column_type,
    (row ->> 'num_slices')::int as partitions,
    (row ->> 'interval_length')::bigint as interval_length,
    row ->> 'partitioning_func_schema' as partitioning_function_schema,
    row ->> 'partitioning_func' as partitioning_function,
    ({partitioning_type}) as partitioning_type,
    row ->> 'integer_now_func_schema' as integer_now_schema,
    row ->> 'integer_now_func' as integer_now_function
from (select to_jsonb(dimension) as row from _timescaledb_catalog.dimension) dimensions
where (row ->> 'hypertable_id')::int = $1
order by row ->> 'num_slices' is not null, (row ->> 'id')::int
