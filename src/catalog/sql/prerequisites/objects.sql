-- What it takes to make objects: the statement, where one makes it; why none does; and what it would lack then.
-- $1: a JSON array of {class, oid}.
with asked as (
    select class::oid as class, oid::oid as oid
    from jsonb_to_recordset($1::text::jsonb) asked (class bigint, oid bigint)
),
made (class, oid, name, version, statement, obstacle, left_out) as (
    select asked.class, asked.oid, null::text, null::text,
        case when function.prokind <> 'a' then regexp_replace(pg_get_functiondef(function.oid), '^CREATE OR REPLACE ', 'CREATE ') end,
        case when function.prokind = 'a' then 'it is an aggregate'
            when language.lanname in ('c', 'internal') then 'it is code of the server''s machine'
            when function.prosecdef then format('it runs with the rights of its owner, %I', pg_get_userbyid(function.proowner))
        end,
        array[case when function.proacl is not null then 'grants' end]
    from asked
    join pg_catalog.pg_proc function on function.oid = asked.oid
    join pg_catalog.pg_language language on language.oid = function.prolang
    where asked.class = 'pg_catalog.pg_proc'::regclass
    union all
    select asked.class, asked.oid, null, null,
        format('create collation %I.%I (%s)', namespace.nspname, collation_row.row ->> 'collname', concat_ws(', ',
            case collation_row.row ->> 'collprovider' when 'c' then 'provider = libc' when 'i' then 'provider = icu'
                when 'b' then 'provider = builtin' end,
            -- Where the locale is has changed twice.
            case when collation_row.row ->> 'collprovider' <> 'c' then 'locale = ' || quote_literal(coalesce(
                collation_row.row ->> 'colllocale', collation_row.row ->> 'colliculocale', collation_row.row ->> 'collcollate')) end,
            case when collation_row.row ->> 'collprovider' = 'c'
                then format('lc_collate = %L, lc_ctype = %L', collation_row.row ->> 'collcollate', collation_row.row ->> 'collctype') end,
            case when not (collation_row.row ->> 'collisdeterministic')::bool then 'deterministic = false' end,
            'rules = ' || quote_literal(collation_row.row ->> 'collicurules'))),
        null, null
    from asked
    join pg_catalog.pg_collation "collation" on "collation".oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = "collation".collnamespace
    cross join lateral (select to_jsonb("collation") as row) collation_row
    where asked.class = 'pg_catalog.pg_collation'::regclass
    union all
    select asked.class, asked.oid, null, null,
        format('create operator %I.%s (%s)', namespace.nspname, operator.oprname, concat_ws(', ',
            'function = ' || operator.oprcode::regproc,
            'leftarg = ' || format_type(nullif(operator.oprleft, 0), null),
            'rightarg = ' || format_type(nullif(operator.oprright, 0), null),
            case when operator.oprcom = operator.oid then format('commutator = operator(%I.%s)', namespace.nspname, operator.oprname) end,
            'restrict = ' || nullif(operator.oprrest, 0)::regproc, 'join = ' || nullif(operator.oprjoin, 0)::regproc,
            case when operator.oprcanhash then 'hashes' end, case when operator.oprcanmerge then 'merges' end)),
        case when operator.oprcom not in (0, operator.oid) or operator.oprnegate <> 0
            then 'it has a commutator or negator that is another operator' end,
        null
    from asked
    join pg_catalog.pg_operator operator on operator.oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = operator.oprnamespace
    where asked.class = 'pg_catalog.pg_operator'::regclass
    union all
    select asked.class, asked.oid, extension.extname::text, extension.extversion,
        format('create extension %I with schema %I', extension.extname, namespace.nspname), null, null
    from asked
    join pg_catalog.pg_extension extension on extension.oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = extension.extnamespace
    where asked.class = 'pg_catalog.pg_extension'::regclass
    union all
    select asked.class, asked.oid, class.relname, null, null,
        case when class.relkind not in ('r', 'S') then format('it is a %s', case class.relkind when 'v' then 'view'
                when 'm' then 'materialized view' when 'p' then 'partitioned table' when 'f' then 'foreign table'
                else 'relation of another kind' end)
            when exists (
                select from _timescaledb_catalog.hypertable hypertable
                where to_regclass(format('%I.%I', hypertable.schema_name, hypertable.table_name)) = class.oid
            ) then 'it is a hypertable' end,
        array[
            case when class.relkind = 'r' then 'rows' end,
            case when exists (select from pg_catalog.pg_index index where index.indrelid = class.oid and not exists (
                select from pg_catalog.pg_constraint "constraint"
                where "constraint".conindid = index.indexrelid and "constraint".contype in ('p', 'u', 'x')
            )) then 'indexes' end,
            case when exists (select from pg_catalog.pg_constraint where conrelid = class.oid and contype = 'f')
                then 'foreign keys' end,
            case when exists (select from pg_catalog.pg_trigger where tgrelid = class.oid and not tgisinternal)
                then 'triggers' end,
            case when class.relrowsecurity then 'row-level security' end,
            case when class.relacl is not null or exists (
                select from pg_catalog.pg_attribute where attrelid = class.oid and attacl is not null) then 'grants' end,
            case when exists (select from pg_catalog.pg_description where classoid = 'pg_catalog.pg_class'::regclass
                and objoid = class.oid and objsubid > 0) then 'comments on columns' end
        ]
    from asked join pg_catalog.pg_class class on class.oid = asked.oid
    where asked.class = 'pg_catalog.pg_class'::regclass
    union all
    select asked.class, asked.oid, null, null, null,
        case type.typtype when 'b' then 'it is a base type' when 'p' then 'it is a pseudo-type' end,
        array[case when type.typacl is not null then 'grants' end]
    from asked join pg_catalog.pg_type type on type.oid = asked.oid
    where asked.class = 'pg_catalog.pg_type'::regclass
)
select
    asked.class::bigint as class,
    asked.oid::bigint as oid,
    made.name,
    made.version,
    made.statement,
    case when made.class is null then 'nothing of this kind is made' else made.obstacle end as obstacle,
    to_jsonb(array_remove(made.left_out || case when obj_description(asked.oid, class.relname) is not null
        -- An extension brings its own.
        and class.oid <> 'pg_catalog.pg_extension'::regclass then 'comment' end, null)) as left_out
from asked
join pg_catalog.pg_class class on class.oid = asked.class
left join made on made.class = asked.class and made.oid = asked.oid
