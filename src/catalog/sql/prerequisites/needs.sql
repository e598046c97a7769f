-- What objects need directly, of what PostgreSQL and TimescaleDB do not ship: one row for each pair, and for a part of the
-- hypertable that needs it. $1: a JSON array of {class, oid}, $2: the hypertable's oid.
with asked as (
    select class::oid as class, oid::oid as oid
    from jsonb_to_recordset($1::text::jsonb) asked (class bigint, oid bigint)
),
-- The rows of the catalog whose dependencies are an object's own.
part (class, oid, whole_class, whole_oid, kind, name) as (
    select class, oid, class, oid, 'table', '' from asked
    -- A sequence uses its owner, and a base type its own functions, which use it.
    where not exists (select from pg_catalog.pg_sequence sequence
            where asked.class = 'pg_catalog.pg_class'::regclass and sequence.seqrelid = asked.oid)
        and not exists (select from pg_catalog.pg_type type
            where asked.class = 'pg_catalog.pg_type'::regclass and type.oid = asked.oid and type.typtype = 'b')
    union all
    select 'pg_catalog.pg_class'::regclass, type.typrelid, asked.class, asked.oid, 'table', ''
    from asked join pg_catalog.pg_type type on type.oid = asked.oid
    where asked.class = 'pg_catalog.pg_type'::regclass and type.typtype = 'c'
    union all
    select 'pg_catalog.pg_constraint'::regclass, "constraint".oid, asked.class, asked.oid, 'table', ''
    from asked join pg_catalog.pg_constraint "constraint" on "constraint".contypid = asked.oid
    where asked.class = 'pg_catalog.pg_type'::regclass
    union all
    select 'pg_catalog.pg_attrdef'::regclass, expression.oid, asked.class, asked.oid, 'table', ''
    from asked join pg_catalog.pg_attrdef expression on expression.adrelid = asked.oid
    where asked.class = 'pg_catalog.pg_class'::regclass
    union all
    select 'pg_catalog.pg_constraint'::regclass, "constraint".oid, asked.class, asked.oid,
        case when "constraint".contype = 'f' then 'foreign key' else 'table' end,
        case when "constraint".contype = 'f' then "constraint".conname else '' end
    from asked join pg_catalog.pg_constraint "constraint" on "constraint".conrelid = asked.oid
    where asked.class = 'pg_catalog.pg_class'::regclass and ("constraint".contype in ('c', 'p', 'u', 'x')
        or ("constraint".contype = 'f' and "constraint".conparentid = 0 and asked.oid = $2))
    union all
    select 'pg_catalog.pg_class'::regclass, index.indexrelid, asked.class, asked.oid, 'table', ''
    from asked join pg_catalog.pg_index index on index.indrelid = asked.oid
    where asked.class = 'pg_catalog.pg_class'::regclass and (asked.oid = $2 or exists (
        select from pg_catalog.pg_constraint "constraint"
        where "constraint".conindid = index.indexrelid and "constraint".contype in ('p', 'u', 'x')))
    union all
    select 'pg_catalog.pg_rewrite'::regclass, rule.oid, asked.class, asked.oid, 'table', ''
    from asked join pg_catalog.pg_rewrite rule on rule.ev_class = asked.oid and rule.rulename = '_RETURN'
    where asked.class = 'pg_catalog.pg_class'::regclass
    union all
    select 'pg_catalog.pg_trigger'::regclass, trigger.oid, asked.class, asked.oid, 'trigger', trigger.tgname
    from asked join pg_catalog.pg_trigger trigger on trigger.tgrelid = asked.oid and not trigger.tgisinternal
    where asked.class = 'pg_catalog.pg_class'::regclass and asked.oid = $2
    union all
    select 'pg_catalog.pg_policy'::regclass, policy.oid, asked.class, asked.oid, 'policy', policy.polname
    from asked join pg_catalog.pg_policy policy on policy.polrelid = asked.oid
    where asked.class = 'pg_catalog.pg_class'::regclass and asked.oid = $2
    union all
    select 'pg_catalog.pg_statistic_ext'::regclass, statistics.oid, asked.class, asked.oid, 'statistics', statistics.stxname
    from asked join pg_catalog.pg_statistic_ext statistics on statistics.stxrelid = asked.oid
    where asked.class = 'pg_catalog.pg_class'::regclass and asked.oid = $2
),
-- TimescaleDB calls these without a dependency of PostgreSQL's.
called (kind, oid) as (
    select case when function.pronargs = 0 then 'integer now' else 'table' end, function.oid
    from _timescaledb_catalog.dimension dimension
    join _timescaledb_catalog.hypertable hypertable on hypertable.id = dimension.hypertable_id
    join pg_catalog.pg_namespace schema
        on schema.nspname in (dimension.partitioning_func_schema, dimension.integer_now_func_schema)
    join pg_catalog.pg_proc function on function.pronamespace = schema.oid and case function.pronargs
        when 1 then schema.nspname = dimension.partitioning_func_schema and function.proname = dimension.partitioning_func
        when 0 then schema.nspname = dimension.integer_now_func_schema and function.proname = dimension.integer_now_func
    end
    where to_regclass(format('%I.%I', hypertable.schema_name, hypertable.table_name)) = $2
),
-- Some operators of an operator class are no dependencies of its own, but of its family.
member (class, oid, member_class, member_oid) as (
    select asked.class, asked.oid, 'pg_catalog.pg_operator'::regclass::oid, operator.amopopr
    from asked
    join pg_catalog.pg_opclass operator_class on operator_class.oid = asked.oid
    join pg_catalog.pg_amop operator
        on operator.amopfamily = operator_class.opcfamily and operator.amoplefttype = operator_class.opcintype
    where asked.class = 'pg_catalog.pg_opclass'::regclass
    union all
    select asked.class, asked.oid, 'pg_catalog.pg_proc'::regclass, function.amproc::oid
    from asked
    join pg_catalog.pg_opclass operator_class on operator_class.oid = asked.oid
    join pg_catalog.pg_amproc function
        on function.amprocfamily = operator_class.opcfamily and function.amproclefttype = operator_class.opcintype
    where asked.class = 'pg_catalog.pg_opclass'::regclass
),
referred (whole_class, whole_oid, kind, name, class, oid) as (
    select part.whole_class, part.whole_oid, part.kind, part.name, dependency.refclassid, dependency.refobjid
    from part
    join pg_catalog.pg_depend dependency
        on dependency.classid = part.class and dependency.objid = part.oid and dependency.deptype = 'n'
    union
    select asked.class, asked.oid, called.kind, '', 'pg_catalog.pg_proc'::regclass, called.oid
    from asked cross join called
    where asked.class = 'pg_catalog.pg_class'::regclass and asked.oid = $2
    union
    select member.class, member.oid, 'table', '', member.member_class, member.member_oid from member
)
select distinct
    referred.whole_class::bigint as user_class,
    referred.whole_oid::bigint as user_oid,
    referred.kind as part,
    referred.name as part_name,
    needed.class::bigint as class,
    needed.oid::bigint as oid,
    object.type,
    object.identity,
    coalesce((parse_ident(object.schema))[1], namespace.nspname) as schema
from referred
-- What comes with something else (arrays, multiranges, constructors, row types, indexes) stands for that.
cross join lateral (
    with recursive whole (class, oid, depth) as (
        select referred.class, referred.oid, 0
        union all
        select above.class, above.oid, whole.depth + 1
        from whole
        cross join lateral (
            select dependency.refclassid, dependency.refobjid
            from pg_catalog.pg_depend dependency
            where dependency.classid = whole.class and dependency.objid = whole.oid and dependency.deptype = 'i'
            union all
            select 'pg_catalog.pg_class'::regclass, "constraint".conrelid from pg_catalog.pg_constraint "constraint"
            where whole.class = 'pg_catalog.pg_constraint'::regclass and "constraint".oid = whole.oid
                and "constraint".conrelid <> 0
            union all
            select 'pg_catalog.pg_class'::regclass, index.indrelid from pg_catalog.pg_index index
            where whole.class = 'pg_catalog.pg_class'::regclass and index.indexrelid = whole.oid
        ) above (class, oid)
        where whole.depth < 8
    )
    select class, oid from whole order by depth desc limit 1
) whole
left join pg_catalog.pg_depend membership
    on membership.classid = whole.class and membership.objid = whole.oid and membership.deptype = 'e'
left join pg_catalog.pg_extension extension on extension.oid = membership.refobjid
left join pg_catalog.pg_namespace namespace on namespace.oid = extension.extnamespace
cross join lateral (
    select coalesce(membership.refclassid, whole.class) as class, coalesce(membership.refobjid, whole.oid) as oid
) needed
cross join lateral pg_identify_object(needed.class, needed.oid, 0) object
where needed.oid >= 16384
    and needed.class <> 'pg_catalog.pg_namespace'::regclass
    and coalesce(extension.extname, '') <> 'timescaledb'
    -- The table's own sequences are made with it.
    and not (referred.whole_oid = $2 and referred.kind = 'table' and object.type = 'sequence')
order by 1, 2, 7, 8
