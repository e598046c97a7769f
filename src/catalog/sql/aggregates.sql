-- The continuous aggregates over a hypertable, and those over them, in the order in which they can be made.
-- $1: hypertable id. The text of chunk_slices*.sql is put in: (chunk_id, dimension_slice_id); and that of view_*.sql, about `view`
-- and the query that `query` has.
with recursive aggregate as (
    select to_jsonb(aggregate) as row, 1 as depth
    from _timescaledb_catalog.continuous_agg aggregate where aggregate.raw_hypertable_id = $1
    union all
    select to_jsonb(upper), aggregate.depth + 1
    from aggregate
    join _timescaledb_catalog.continuous_agg upper on upper.raw_hypertable_id = (aggregate.row ->> 'mat_hypertable_id')::int
), relation as (
    -- By name: whoever may not use a schema may not ask for a regclass in it.
    select namespace.nspname as schema, class.oid, class.relname, class.relnamespace, class.relowner, class.relacl
    from pg_catalog.pg_class class
    join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
)
select
    materialization.id,
    view.oid::bigint as oid,
    jsonb_build_object('schema', row ->> 'user_view_schema', 'name', row ->> 'user_view_name') as name,
    jsonb_build_object('schema', materialization.schema_name, 'name', materialization.table_name) as materialization,
    relation.oid::bigint as materialization_oid,
    source.id as source_id,
    jsonb_build_object(
        'schema', coalesce(lower.user_view_schema, source.schema_name),
        'name', coalesce(lower.user_view_name, source.table_name)) as source,
    (
        select min(dimension_slice.range_start)
        from ({slices}) link
        join _timescaledb_catalog.dimension_slice on dimension_slice.id = link.dimension_slice_id
        join _timescaledb_catalog.chunk on chunk.id = link.chunk_id
        where chunk.hypertable_id = source.id and not coalesce((to_jsonb(chunk) ->> 'dropped')::bool, false)
            and dimension_slice.dimension_id = (
                select min(dimension.id) from _timescaledb_catalog.dimension where dimension.hypertable_id = source.id)
    ) as source_start,
    rtrim(pg_get_viewdef(direct_view.oid), ';') as definition,
    (row ->> 'materialized_only')::bool as materialized_only,
    coalesce((row ->> 'finalized')::bool, true) as finalized,
    pg_get_userbyid(view.relowner) as owner,
    pg_has_role(view.relowner, 'usage') as may_act_as_owner,
    has_schema_privilege(view.relnamespace, 'create') as may_create_in_schema,
    has_schema_privilege(relation.relnamespace, 'create') as may_rename_indexes,
    (
        select jsonb_agg(attribute.attname order by attribute.attnum) from pg_catalog.pg_attribute attribute
        where attribute.attrelid = view.oid and attribute.attnum > 0 and not attribute.attisdropped
    ) as columns,
    dimension.column_name as bucket,
    dimension.column_type::regtype::text as bucket_type,
    dimension.interval_length as chunk_interval,
    watermark.watermark,
    ({grants}) as grants,
    ({comments}) as comments,
    (select reads.* from (select direct_view.oid) query, lateral ({reads}) reads) as reads,
    (select needs.* from (select direct_view.oid) query, lateral ({needs}) needs) as needs
from aggregate
join _timescaledb_catalog.hypertable materialization on materialization.id = (row ->> 'mat_hypertable_id')::int
join _timescaledb_catalog.hypertable source on source.id = (row ->> 'raw_hypertable_id')::int
left join _timescaledb_catalog.continuous_agg lower on lower.mat_hypertable_id = source.id
join relation view on view.schema = row ->> 'user_view_schema' and view.relname = row ->> 'user_view_name'
join relation direct_view on direct_view.schema = row ->> 'direct_view_schema' and direct_view.relname = row ->> 'direct_view_name'
join relation on relation.schema = materialization.schema_name and relation.relname = materialization.table_name
join lateral (
    select * from _timescaledb_catalog.dimension where dimension.hypertable_id = materialization.id order by id limit 1
) dimension on true
left join _timescaledb_catalog.continuous_aggs_watermark watermark on watermark.mat_hypertable_id = materialization.id
order by aggregate.depth, materialization.id
