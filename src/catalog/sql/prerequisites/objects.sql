-- What it takes to make objects: the statements, where there are some; why nobody makes it; and what it would lack then.
-- The texts of aggregate.sql, about `function`, and of operator_class.sql, about `class` and `family`, are put in.
-- $1: a JSON array of {class, oid}.
with asked as (
    select class::oid as class, oid::oid as oid
    from jsonb_to_recordset($1::text::jsonb) asked (class bigint, oid bigint)
),
made (class, oid, name, version, statements, obstacle, left_out, of_superusers, as_owner) as (
    select asked.class, asked.oid, null::text, null::text,
        array[case when function.prokind <> 'a'
            then regexp_replace(pg_get_functiondef(function.oid), '^CREATE OR REPLACE ', 'CREATE ')
            else ({aggregate}) end],
        case when language.lanname in ('c', 'internal') and function.prokind <> 'a' then 'it is code of the server''s machine' end,
        null::text[],
        function.proleakproof or function.prosupport <> 0 or (function.prokind <> 'a' and not language.lanpltrusted)
            or exists (select from pg_catalog.pg_aggregate aggregate
                where aggregate.aggfnoid = function.oid and aggregate.aggtranstype = 'pg_catalog.internal'::regtype),
        function.prosecdef
    from asked
    join pg_catalog.pg_proc function on function.oid = asked.oid
    join pg_catalog.pg_language language on language.oid = function.prolang
    where asked.class = 'pg_catalog.pg_proc'::regclass
    union all
    select asked.class, asked.oid, null, null,
        array[format('create collation %I.%I (%s)', namespace.nspname, collation_row.row ->> 'collname', concat_ws(', ',
            case collation_row.row ->> 'collprovider' when 'c' then 'provider = libc' when 'i' then 'provider = icu'
                when 'b' then 'provider = builtin' end,
            -- Where the locale is has changed twice.
            case when collation_row.row ->> 'collprovider' <> 'c' then 'locale = ' || quote_literal(coalesce(
                collation_row.row ->> 'colllocale', collation_row.row ->> 'colliculocale', collation_row.row ->> 'collcollate')) end,
            case when collation_row.row ->> 'collprovider' = 'c'
                then format('lc_collate = %L, lc_ctype = %L', collation_row.row ->> 'collcollate', collation_row.row ->> 'collctype') end,
            case when not (collation_row.row ->> 'collisdeterministic')::bool then 'deterministic = false' end,
            'rules = ' || quote_literal(collation_row.row ->> 'collicurules')))],
        null, null, false, false
    from asked
    join pg_catalog.pg_collation "collation" on "collation".oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = "collation".collnamespace
    cross join lateral (select to_jsonb("collation") as row) collation_row
    where asked.class = 'pg_catalog.pg_collation'::regclass
    union all
    select asked.class, asked.oid, null, null,
        array[format('create operator %I.%s (%s)', namespace.nspname, operator.oprname, concat_ws(', ',
            'function = ' || operator.oprcode::regproc,
            'leftarg = ' || format_type(nullif(operator.oprleft, 0), null),
            'rightarg = ' || format_type(nullif(operator.oprright, 0), null),
            case when operator.oprcom = operator.oid then format('commutator = operator(%I.%s)', namespace.nspname, operator.oprname) end,
            'restrict = ' || nullif(operator.oprrest, 0)::regproc, 'join = ' || nullif(operator.oprjoin, 0)::regproc,
            case when operator.oprcanhash then 'hashes' end, case when operator.oprcanmerge then 'merges' end))],
        null,
        -- They may be operators that nothing else uses, and would be left half made.
        array[case when operator.oprcom not in (0, operator.oid) then 'commutator' end,
            case when operator.oprnegate <> 0 then 'negator' end],
        false, false
    from asked
    join pg_catalog.pg_operator operator on operator.oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = operator.oprnamespace
    where asked.class = 'pg_catalog.pg_operator'::regclass
    union all
    select asked.class, asked.oid, null, null, array[({operator_class})],
        case when family.oid >= 16384 and (family.opfname, family.opfnamespace) <> (class.opcname, class.opcnamespace)
            then 'it belongs to an operator family of users' end,
        null, true, false
    from asked
    join pg_catalog.pg_opclass class on class.oid = asked.oid
    join pg_catalog.pg_opfamily family on family.oid = class.opcfamily
    where asked.class = 'pg_catalog.pg_opclass'::regclass
    union all
    select asked.class, asked.oid, null, null,
        array[format('create text search configuration %I.%I (parser = %I.%I)', namespace.nspname, config.cfgname,
            parser_schema.nspname, parser.prsname)] || array(
            select format('alter text search configuration %I.%I add mapping for %I with %s', namespace.nspname, config.cfgname,
                token.alias, string_agg(map.mapdict::regdictionary::text, ', ' order by map.mapseqno))
            from pg_catalog.pg_ts_config_map map
            join ts_token_type(config.cfgparser) token on token.tokid = map.maptokentype
            where map.mapcfg = config.oid
            group by token.tokid, token.alias order by token.tokid),
        null, null, false, false
    from asked
    join pg_catalog.pg_ts_config config on config.oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = config.cfgnamespace
    join pg_catalog.pg_ts_parser parser on parser.oid = config.cfgparser
    join pg_catalog.pg_namespace parser_schema on parser_schema.oid = parser.prsnamespace
    where asked.class = 'pg_catalog.pg_ts_config'::regclass
    union all
    select asked.class, asked.oid, null, null,
        array[format('create text search dictionary %I.%I (%s)', namespace.nspname, dictionary.dictname, concat_ws(', ',
            format('template = %I.%I', template_schema.nspname, template.tmplname), dictionary.dictinitoption))],
        null, null, false, false
    from asked
    join pg_catalog.pg_ts_dict dictionary on dictionary.oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = dictionary.dictnamespace
    join pg_catalog.pg_ts_template template on template.oid = dictionary.dicttemplate
    join pg_catalog.pg_namespace template_schema on template_schema.oid = template.tmplnamespace
    where asked.class = 'pg_catalog.pg_ts_dict'::regclass
    union all
    select asked.class, asked.oid, extension.extname::text, extension.extversion,
        array[format('create extension %I with schema %I', extension.extname, namespace.nspname)], null, null, false, false
    from asked
    join pg_catalog.pg_extension extension on extension.oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = extension.extnamespace
    where asked.class = 'pg_catalog.pg_extension'::regclass
    union all
    select asked.class, asked.oid, class.relname, null,
        array[case when class.relkind in ('v', 'm') then format('create %s %I.%I%s as %s%s',
            case class.relkind when 'v' then 'view' else 'materialized view' end, namespace.nspname, class.relname,
            (
                select ' with (' || string_agg(format('%I = %L', option_name, option_value), ', ') || ')'
                from pg_options_to_table(class.reloptions)
            ),
            rtrim(pg_get_viewdef(class.oid), ';'), case class.relkind when 'm' then ' with no data' end) end],
        case when class.relkind not in ('r', 'S', 'v', 'm') then format('it is a %s', case class.relkind
                when 'p' then 'partitioned table' when 'f' then 'foreign table' else 'relation of another kind' end)
            when exists (
                select from _timescaledb_catalog.hypertable hypertable
                where to_regclass(format('%I.%I', hypertable.schema_name, hypertable.table_name)) = class.oid
            ) then 'it is a hypertable, and takes a migration of its own'
            when exists (
                select from _timescaledb_catalog.continuous_agg aggregate
                where to_regclass(format('%I.%I', aggregate.user_view_schema, aggregate.user_view_name)) = class.oid
            ) then 'it is a continuous aggregate' end,
        array[
            case when class.relkind in ('r', 'm') then 'rows' end,
            case when exists (select from pg_catalog.pg_index index where index.indrelid = class.oid and not exists (
                select from pg_catalog.pg_constraint "constraint"
                where "constraint".conindid = index.indexrelid and "constraint".contype in ('p', 'u', 'x')
            )) then 'indexes' end,
            case when exists (select from pg_catalog.pg_constraint where conrelid = class.oid and contype = 'f')
                then 'foreign keys' end,
            case when exists (select from pg_catalog.pg_trigger where tgrelid = class.oid and not tgisinternal)
                then 'triggers' end,
            case when exists (select from pg_catalog.pg_rewrite where ev_class = class.oid and rulename <> '_RETURN')
                then 'rules' end,
            case when class.relkind = 'v' and exists (select from pg_catalog.pg_attrdef where adrelid = class.oid)
                then 'defaults of columns' end,
            case when exists (select from pg_catalog.pg_statistic_ext where stxrelid = class.oid) then 'extended statistics' end,
            case when class.relkind = 'r' and class.reloptions is not null then 'storage parameters' end,
            case when class.relrowsecurity then 'row-level security' end,
            case when exists (select from pg_catalog.pg_inherits where class.oid in (inhrelid, inhparent)) then 'inheritance' end,
            case when exists (
                select from pg_catalog.pg_description description
                join pg_catalog.pg_constraint "constraint" on "constraint".oid = description.objoid
                where description.classoid = 'pg_catalog.pg_constraint'::regclass and "constraint".conrelid = class.oid
            ) then 'comments on constraints' end
        ],
        false, false
    from asked
    join pg_catalog.pg_class class on class.oid = asked.oid
    join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
    where asked.class = 'pg_catalog.pg_class'::regclass
    union all
    select asked.class, asked.oid, null, null, null,
        case type.typtype when 'b' then 'it is a base type' when 'p' then 'it is a pseudo-type' end,
        array[case when exists (
            select from pg_catalog.pg_description description
            join pg_catalog.pg_constraint "constraint" on "constraint".oid = description.objoid
            where description.classoid = 'pg_catalog.pg_constraint'::regclass and "constraint".contypid = type.oid
        ) then 'comments on constraints' end],
        false, false
    from asked join pg_catalog.pg_type type on type.oid = asked.oid
    where asked.class = 'pg_catalog.pg_type'::regclass
)
select
    asked.class::bigint as class,
    asked.oid::bigint as oid,
    made.name,
    made.version,
    to_jsonb(array_remove(made.statements, null)) as statements,
    case when made.class is null then 'nothing of this kind is made' else made.obstacle end as obstacle,
    to_jsonb(array_remove(made.left_out, null)) as left_out,
    coalesce(made.of_superusers, false) as of_superusers,
    coalesce(made.as_owner, false) as as_owner
from asked
left join made on made.class = asked.class and made.oid = asked.oid
