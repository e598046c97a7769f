-- Indexes of a table that keep nothing unique and can be built anew as they are; with their comments. $1: the table's oid.
select
    class.relname::text as name,
    pg_get_indexdef(class.oid) || coalesce((
        select format('; comment on index %I.%I is %L', namespace.nspname, class.relname, comment)
        from obj_description(class.oid, 'pg_class') comment
        where comment is not null
    ), '') as definition
from pg_catalog.pg_index index
join pg_catalog.pg_class class on class.oid = index.indexrelid
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
where index.indrelid = $1
    and index.indisvalid and not index.indisunique and not index.indisexclusion
    -- What its definition does not say would be lost.
    and not index.indisclustered and not index.indisreplident and class.reltablespace = 0
    and not exists (
        select from pg_catalog.pg_attribute attribute
        where attribute.attrelid = class.oid and coalesce(attribute.attstattarget, -1) >= 0
    )
    -- An extension's, or one that something else depends on, stays.
    and not exists (
        select from pg_catalog.pg_depend dependency
        where (dependency.classid = 'pg_catalog.pg_class'::regclass and dependency.objid = class.oid
                and dependency.deptype in ('e', 'i', 'x'))
            or (dependency.refclassid = 'pg_catalog.pg_class'::regclass and dependency.refobjid = class.oid)
    )
order by class.relname
