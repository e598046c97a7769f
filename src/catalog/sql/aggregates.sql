-- The continuous aggregates over a hypertable, and those over them, in the order in which they can be made.
-- $1: hypertable id. The text of chunk_slices*.sql is put in: (chunk_id, dimension_slice_id).
with recursive aggregate as (
    select to_jsonb(aggregate) as row, 1 as depth
    from _timescaledb_catalog.continuous_agg aggregate where aggregate.raw_hypertable_id = $1
    union all
    select to_jsonb(upper), aggregate.depth + 1
    from aggregate
    join _timescaledb_catalog.continuous_agg upper on upper.raw_hypertable_id = (aggregate.row ->> 'mat_hypertable_id')::int
), part as (
    -- The views that an aggregate is made of.
    select to_regclass(format('%I.%I', schema, name))::oid as oid
    from _timescaledb_catalog.continuous_agg aggregate, lateral (values
        (aggregate.user_view_schema, aggregate.user_view_name),
        (aggregate.partial_view_schema, aggregate.partial_view_name),
        (aggregate.direct_view_schema, aggregate.direct_view_name)) view (schema, name)
), reader as (
    select distinct dependency.refobjid as aggregate, class.oid, class.relkind, class.relowner, class.reloptions,
        jsonb_build_object('schema', namespace.nspname, 'name', class.relname) as name
    from pg_catalog.pg_depend dependency
    join pg_catalog.pg_rewrite rewrite on rewrite.oid = dependency.objid
    join pg_catalog.pg_class class on class.oid = rewrite.ev_class
    join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
    where dependency.classid = 'pg_catalog.pg_rewrite'::regclass and dependency.refclassid = 'pg_catalog.pg_class'::regclass
        and dependency.refobjid <> class.oid and class.oid not in (select oid from part where oid is not null)
)
select
    materialization.id,
    view.oid::bigint as oid,
    jsonb_build_object('schema', row ->> 'user_view_schema', 'name', row ->> 'user_view_name') as name,
    jsonb_build_object('schema', materialization.schema_name, 'name', materialization.table_name) as materialization,
    to_regclass(format('%I.%I', materialization.schema_name, materialization.table_name))::oid::bigint as materialization_oid,
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
    rtrim(pg_get_viewdef(to_regclass(format('%I.%I', row ->> 'direct_view_schema', row ->> 'direct_view_name'))), ';')
        as definition,
    (row ->> 'materialized_only')::bool as materialized_only,
    coalesce((row ->> 'finalized')::bool, true) as finalized,
    pg_get_userbyid(view.relowner) as owner,
    pg_has_role(view.relowner, 'usage') as may_alter,
    (
        select jsonb_agg(attribute.attname order by attribute.attnum) from pg_catalog.pg_attribute attribute
        where attribute.attrelid = view.oid and attribute.attnum > 0 and not attribute.attisdropped
    ) as columns,
    dimension.column_name as bucket,
    dimension.column_type::regtype::text as bucket_type,
    dimension.interval_length as chunk_interval,
    watermark.watermark,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'grantee', grantee.rolname, 'privilege', acl.privilege_type, 'column', acl.column, 'grantable', acl.is_grantable)
            order by grantee.rolname, acl.column, acl.privilege_type), '[]')
        from (
            select (aclexplode(view.relacl)).*, null as column
            union all
            select (aclexplode(attribute.attacl)).*, attribute.attname
            from pg_catalog.pg_attribute attribute where attribute.attrelid = view.oid and not attribute.attisdropped
        ) acl
        left join pg_catalog.pg_roles grantee on grantee.oid = acl.grantee
        where acl.grantee <> view.relowner
    ) as grants,
    (
        select coalesce(jsonb_agg(jsonb_build_object('column', attribute.attname, 'text', description.description)
            order by description.objsubid), '[]')
        from pg_catalog.pg_description description
        left join pg_catalog.pg_attribute attribute
            on attribute.attrelid = description.objoid and attribute.attnum = nullif(description.objsubid, 0)
        where description.classoid = 'pg_catalog.pg_class'::regclass and description.objoid = view.oid
    ) as comments,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'name', reader.name, 'options', coalesce(to_jsonb(reader.reloptions), '[]'),
            'definition', rtrim(pg_get_viewdef(reader.oid), ';')) order by reader.oid), '[]')
        from reader where reader.aggregate = view.oid and reader.relkind = 'v' and pg_has_role(reader.relowner, 'usage')
    ) as views,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'kind', case reader.relkind when 'v' then 'view of another role' when 'm' then 'materialized view' else 'rule' end,
            'object', format('%I.%I', reader.name ->> 'schema', reader.name ->> 'name')) order by reader.oid), '[]')
        from reader
        where reader.aggregate = view.oid and not (reader.relkind = 'v' and pg_has_role(reader.relowner, 'usage'))
    ) as obstacles
from aggregate
join _timescaledb_catalog.hypertable materialization on materialization.id = (row ->> 'mat_hypertable_id')::int
join _timescaledb_catalog.hypertable source on source.id = (row ->> 'raw_hypertable_id')::int
left join _timescaledb_catalog.continuous_agg lower on lower.mat_hypertable_id = source.id
join pg_catalog.pg_class view on view.oid = to_regclass(format('%I.%I', row ->> 'user_view_schema', row ->> 'user_view_name'))
join lateral (
    select * from _timescaledb_catalog.dimension where dimension.hypertable_id = materialization.id order by id limit 1
) dimension on true
left join _timescaledb_catalog.continuous_aggs_watermark watermark on watermark.mat_hypertable_id = materialization.id
order by aggregate.depth, materialization.id
