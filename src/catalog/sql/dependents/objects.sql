-- Everything that refers to a relation by oid and is no part of it: what would go on using it under another name.
-- What is not told apart by its kind is "other", so that nothing is overlooked. $1: the relation's oid.
with row_type (oid) as (
    select unnest(array[type.oid, type.typarray]) from pg_catalog.pg_type type where type.typrelid = $1
),
-- What gets another oid together with the relation. A constraint is referred to by a query that groups by the primary
-- key; an index, a sequence or the relation itself also by a constant of type regclass.
part (classid, objid) as (
    select 'pg_catalog.pg_class'::regclass, $1::oid
    union all
    select 'pg_catalog.pg_class'::regclass, indexrelid from pg_catalog.pg_index where indrelid = $1
    union all
    -- The sequence of an identity; others keep their oid and go to another owner.
    select 'pg_catalog.pg_class'::regclass, sequence.oid
    from pg_catalog.pg_depend dependency
    join pg_catalog.pg_class sequence on sequence.oid = dependency.objid and sequence.relkind = 'S'
    where dependency.classid = 'pg_catalog.pg_class'::regclass and dependency.refclassid = 'pg_catalog.pg_class'::regclass
        and dependency.refobjid = $1 and dependency.deptype = 'i'
    union all
    select 'pg_catalog.pg_type'::regclass, oid from row_type
    union all
    select 'pg_catalog.pg_constraint'::regclass, oid from pg_catalog.pg_constraint where conrelid = $1
),
-- With the chunks, which depend on it as their parent, and have its defaults.
own_table (oid) as (
    select $1::oid
    union all
    select inhrelid from pg_catalog.pg_inherits where inhparent = $1
),
aggregate_view (oid) as (
    select class.oid
    from (select to_jsonb(aggregate) as row from _timescaledb_catalog.continuous_agg aggregate) aggregates
    cross join (values ('user_view'), ('partial_view'), ('direct_view')) view (kind)
    join pg_catalog.pg_namespace namespace on namespace.nspname = row ->> (view.kind || '_schema')
    join pg_catalog.pg_class class on class.relnamespace = namespace.oid and class.relname = row ->> (view.kind || '_name')
)
select distinct
    case
        -- Temporary things are another session's, and nobody else can change them.
        when ruled.relpersistence = 't' or guarded.relpersistence = 't' or function_schema.nspname ~ '^pg_temp_' then 'other'
        when rewrite.rulename = '_RETURN' then case ruled.relkind when 'm' then 'materialized view' else 'view' end
        when rewrite.oid is not null then 'rule'
        when policy.oid is not null then 'policy'
        -- With another type in its signature it would be another function.
        when function.prokind in ('f', 'p', 'w') and not exists (
            select from row_type
            where row_type.oid = any (function.proargtypes::oid[] || function.proallargtypes || function.prorettype)
        ) then 'function'
        else 'other' end as kind,
    object.objid::bigint as oid,
    pg_describe_object(object.classid, object.objid, object.objsubid) as identity
from part
join pg_catalog.pg_depend dependency on dependency.refclassid = part.classid and dependency.refobjid = part.objid
left join pg_catalog.pg_class class
    on dependency.classid = 'pg_catalog.pg_class'::regclass and class.oid = dependency.objid
left join pg_catalog.pg_index index on index.indexrelid = class.oid
left join pg_catalog.pg_constraint "constraint"
    on dependency.classid = 'pg_catalog.pg_constraint'::regclass and "constraint".oid = dependency.objid
left join pg_catalog.pg_attrdef expression
    on dependency.classid = 'pg_catalog.pg_attrdef'::regclass and expression.oid = dependency.objid
left join pg_catalog.pg_trigger trigger
    on dependency.classid = 'pg_catalog.pg_trigger'::regclass and trigger.oid = dependency.objid
left join pg_catalog.pg_policy policy
    on dependency.classid = 'pg_catalog.pg_policy'::regclass and policy.oid = dependency.objid
left join pg_catalog.pg_class guarded on guarded.oid = policy.polrelid
left join pg_catalog.pg_proc function
    on dependency.classid = 'pg_catalog.pg_proc'::regclass and function.oid = dependency.objid
left join pg_catalog.pg_namespace function_schema on function_schema.oid = function.pronamespace
left join pg_catalog.pg_rewrite rewrite
    on dependency.classid = 'pg_catalog.pg_rewrite'::regclass and rewrite.oid = dependency.objid
left join pg_catalog.pg_class ruled on ruled.oid = rewrite.ev_class
-- A view is what people know, not the rule that makes it one.
cross join lateral (
    select 'pg_catalog.pg_class'::regclass::oid, rewrite.ev_class, 0 where rewrite.rulename = '_RETURN'
    union all
    select dependency.classid, dependency.objid, dependency.objsubid where rewrite.rulename is distinct from '_RETURN'
) object (classid, objid, objsubid)
where not exists (
        select from part own where own.classid = dependency.classid and own.objid = dependency.objid
    )
    and not coalesce(coalesce(index.indrelid, class.oid, nullif("constraint".conrelid, 0), expression.adrelid,
        trigger.tgrelid, policy.polrelid, rewrite.ev_class) in (select oid from own_table)
        -- A default that names its own table as a constant would do so in a table that is made after it.
        and not coalesce(expression.adrelid = $1 and dependency.refobjsubid = 0, false), false)
    -- Its toast table and the sequences that it owns.
    and not coalesce(class.relkind in ('S', 't'), false)
    -- Foreign keys to it, and the triggers that watch them.
    and not coalesce("constraint".confrelid = $1, false)
    and not coalesce(trigger.tgisinternal, false)
    -- These are about nothing but the table itself.
    and dependency.classid not in (
        'pg_catalog.pg_statistic_ext'::regclass, 'pg_catalog.pg_publication_rel'::regclass
    )
    -- TimescaleDB makes and changes these itself.
    and not coalesce(ruled.oid in (select oid from aggregate_view), false)
    and not coalesce(ruled.relnamespace = to_regnamespace('_timescaledb_internal'), false)
    -- What a rechunk keeps beside its marks is its own.
    and not coalesce(
        (select ruled_schema.nspname ~ '^_hypercopy_[0-9]+$' from pg_catalog.pg_namespace ruled_schema
            where ruled_schema.oid = ruled.relnamespace), false)
order by kind, identity
