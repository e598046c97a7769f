-- TimescaleDB's row for a relation, read as jsonb so that one statement serves every version. $1: schema, $2: name.
select
    (row ->> 'id')::int as id,
    coalesce((row ->> 'compression_state')::int, 0) = 2 as internal,
    coalesce((row ->> 'compression_state')::int, 0) = 1 or (coalesce((row ->> 'status')::int, 0) & 4) = 4 as columnstore,
    coalesce((row ->> 'replication_factor')::int, 0) <> 0 as distributed,
    exists (
        select from _timescaledb_catalog.continuous_agg aggregate
        where aggregate.mat_hypertable_id = (row ->> 'id')::int
    ) as materialization
from (select to_jsonb(hypertable) as row from _timescaledb_catalog.hypertable) hypertables
where row ->> 'schema_name' = $1 and row ->> 'table_name' = $2
