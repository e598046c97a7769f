-- The types that the given ones are made of, themselves included, each before what uses it. $1: oids.
with recursive reachable (oid, depth) as (
    select unnest($1::oid[]), 0
    union
    select part.oid, reachable.depth + 1
    from reachable
    join pg_catalog.pg_type type on type.oid = reachable.oid
    cross join lateral (
        select type.typelem where type.typcategory = 'A' and type.typelem <> 0
        union all
        select type.typbasetype where type.typtype = 'd'
        union all
        select attribute.atttypid from pg_catalog.pg_attribute attribute
        where type.typtype = 'c' and attribute.attrelid = type.typrelid
            and attribute.attnum > 0 and not attribute.attisdropped
        union all
        select range.rngsubtype from pg_catalog.pg_range range where type.oid in (range.rngtypid, range.rngmultitypid)
    ) part (oid)
)
select
    type.oid::bigint as oid,
    namespace.nspname as schema,
    type.typname as name,
    case when type.typtype <> 'd' and type.typcategory = 'A' and type.typelem <> 0 then 'a' else type.typtype::text end as kind,
    -- A domain over an array is in the arrays' category too, without an element of its own.
    case when type.typtype = 'd' then type.typbasetype::bigint
        when type.typcategory = 'A' then type.typelem::bigint
        when type.typtype in ('r', 'm') then range.rngsubtype::bigint end as inner_oid,
    type.typsend::oid <> 0 and type.typreceive::oid <> 0 as has_binary,
    (
        select extension.extname || ' ' || extension.extversion
        from pg_catalog.pg_depend dependency
        join pg_catalog.pg_extension extension on extension.oid = dependency.refobjid
        where dependency.classid = 'pg_catalog.pg_type'::regclass and dependency.objid = type.oid
            and dependency.refclassid = 'pg_catalog.pg_extension'::regclass and dependency.deptype = 'e'
    ) as extension,
    -- A composite that belongs to a table comes and goes with it.
    coalesce((select class.relkind <> 'c' from pg_catalog.pg_class class where class.oid = type.typrelid), false) as of_table,
    case when type.typtype = 'd' then format_type(type.typbasetype, type.typtypmod) end as base,
    type.typnotnull as not_null,
    -- Its own text is as qualified as its author's search_path made it.
    coalesce(pg_get_expr(type.typdefaultbin, 'pg_catalog.pg_type'::regclass), type.typdefault) as default,
    case when type.typtype = 'd' and type.typcollation <> base.typcollation
        then format('%I.%I', collation_schema.nspname, "collation".collname) end as collation,
    (
        select coalesce(jsonb_agg(label.enumlabel order by label.enumsortorder), '[]')
        from pg_catalog.pg_enum label where label.enumtypid = type.oid
    ) as labels,
    (
        select coalesce(jsonb_agg(jsonb_build_object('name', "constraint".conname,
            'definition', pg_get_constraintdef("constraint".oid)) order by "constraint".conname), '[]')
        from pg_catalog.pg_constraint "constraint"
        where "constraint".contypid = type.oid and "constraint".contype = 'c'
    ) as checks,
    (
        select coalesce(jsonb_agg(jsonb_build_object('name', attribute.attname, 'type_oid', attribute.atttypid::bigint,
            'type', format_type(attribute.atttypid, attribute.atttypmod),
            'collation', case when attribute.attcollation <> attribute_type.typcollation
                then (select format('%I.%I', n.nspname, c.collname) from pg_catalog.pg_collation c
                    join pg_catalog.pg_namespace n on n.oid = c.collnamespace where c.oid = attribute.attcollation) end)
            order by attribute.attnum), '[]')
        from pg_catalog.pg_attribute attribute
        join pg_catalog.pg_type attribute_type on attribute_type.oid = attribute.atttypid
        where type.typtype = 'c' and attribute.attrelid = type.typrelid
            and attribute.attnum > 0 and not attribute.attisdropped
    ) as attributes,
    case when type.typtype = 'r' then jsonb_build_object(
        'subtype', format_type(range.rngsubtype, null),
        'subtype_opclass', (select format('%I.%I', n.nspname, c.opcname) from pg_catalog.pg_opclass c
            join pg_catalog.pg_namespace n on n.oid = c.opcnamespace where c.oid = range.rngsubopc and not c.opcdefault),
        'collation', (select format('%I.%I', n.nspname, c.collname) from pg_catalog.pg_collation c
            join pg_catalog.pg_namespace n on n.oid = c.collnamespace
            join pg_catalog.pg_type subtype on subtype.oid = range.rngsubtype
            where c.oid = range.rngcollation and c.oid <> subtype.typcollation),
        'canonical', nullif(range.rngcanonical, 0)::regproc,
        'subtype_diff', nullif(range.rngsubdiff, 0)::regproc,
        'multirange', (select format('%I.%I', n.nspname, t.typname) from pg_catalog.pg_type t
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace where t.oid = range.rngmultitypid)) end as range
from (select oid, max(depth) as depth from reachable group by oid) reachable
join pg_catalog.pg_type type on type.oid = reachable.oid
join pg_catalog.pg_namespace namespace on namespace.oid = type.typnamespace
left join pg_catalog.pg_range range on type.oid in (range.rngtypid, range.rngmultitypid)
left join pg_catalog.pg_type base on base.oid = type.typbasetype
left join pg_catalog.pg_collation "collation" on "collation".oid = type.typcollation
left join pg_catalog.pg_namespace collation_schema on collation_schema.oid = "collation".collnamespace
order by reachable.depth desc, type.oid
