-- The files of the chunks that may hold rows of [$2, $3) of the primary dimension; null is no bound. $1: hypertable id.
-- The text of chunk_slices*.sql is put in: (chunk_id, dimension_slice_id). The file is read in the statement's snapshot;
-- pg_relation_filenode() would answer for now.
with chunk as (
    select
        (row ->> 'id')::int as id,
        coalesce((row ->> 'relid')::regclass, to_regclass(format('%I.%I', row ->> 'schema_name', row ->> 'table_name')))::oid as relation,
        coalesce((row ->> 'status')::int, 0) as status
    from (
        select to_jsonb(chunk) as row from _timescaledb_catalog.chunk where chunk.hypertable_id = $1
    ) chunks
    where not coalesce((row ->> 'dropped')::bool, false)
)
select
    class.oid::bigint as relation,
    class.relfilenode::bigint as filenode,
    chunk.status & 1 = 1 as compressed,
    json_build_object('start', dimension_slice.range_start, 'end', dimension_slice.range_end) as slice
from chunk
join pg_catalog.pg_class class on class.oid = chunk.relation
join ({slices}) link on link.chunk_id = chunk.id
join _timescaledb_catalog.dimension_slice on dimension_slice.id = link.dimension_slice_id
where dimension_slice.dimension_id = (
        select min(dimension.id) from _timescaledb_catalog.dimension where dimension.hypertable_id = $1)
    and ($3::int8 is null or dimension_slice.range_start < $3)
    and ($2::int8 is null or dimension_slice.range_end > $2 or dimension_slice.range_end = 9223372036854775807)
order by dimension_slice.range_start, class.oid
