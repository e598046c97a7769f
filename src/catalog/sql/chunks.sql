-- The chunks of a hypertable with the slices they cover, those of each in the order of dimensions.sql, in the order of their
-- slices. $1: hypertable id.
-- The text of chunk_slices*.sql is put in: (chunk_id, dimension_slice_id).
with chunk as (
    select
        (row ->> 'id')::int as id,
        coalesce((row ->> 'relid')::regclass, to_regclass(format('%I.%I', row ->> 'schema_name', row ->> 'table_name')))::oid as relation,
        coalesce((row ->> 'status')::int, 0) as status,
        coalesce((row ->> 'osm_chunk')::bool, false) as tiered
    from (select to_jsonb(chunk) as row from _timescaledb_catalog.chunk) chunks
    where (row ->> 'hypertable_id')::int = $1 and not coalesce((row ->> 'dropped')::bool, false)
), slice as (
    select
        link.chunk_id,
        jsonb_agg(jsonb_build_array(dimension_slice.range_start, dimension_slice.range_end)
            order by dimension.num_slices is not null, dimension.id) as slices
    from ({slices}) link
    join _timescaledb_catalog.dimension_slice on dimension_slice.id = link.dimension_slice_id
    join _timescaledb_catalog.dimension on dimension.id = dimension_slice.dimension_id
    join chunk on chunk.id = link.chunk_id
    group by link.chunk_id
)
select
    chunk.id,
    chunk.relation::bigint as oid,
    namespace.nspname as schema,
    class.relname as name,
    class.relkind = 'r' as local,
    chunk.tiered,
    chunk.status & 1 = 1 as compressed,
    slice.slices,
    -- What compression left is smaller than what will travel.
    greatest(pg_table_size(chunk.relation), coalesce(size.uncompressed_heap_size + size.uncompressed_toast_size, 0)) as bytes,
    greatest(pg_indexes_size(chunk.relation), coalesce(size.uncompressed_index_size, 0)) as index_bytes,
    greatest(class.reltuples, 0)::bigint as estimated_rows,
    class.relfilenode::bigint as filenode
from chunk
left join pg_catalog.pg_class class on class.oid = chunk.relation
left join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
left join slice on slice.chunk_id = chunk.id
left join _timescaledb_catalog.compression_chunk_size size on size.chunk_id = chunk.id
order by slice.slices, chunk.id
