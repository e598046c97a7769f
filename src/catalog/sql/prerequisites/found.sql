-- Which of the given objects are there. $1: a JSON array of {type, identity} as pg_identify_object() names them.
with wanted as (
    select wanted.type, wanted.identity,
        -- Arguments may be of types that are not there, which some versions call an error: so names are compared as text.
        to_regnamespace(substring(wanted.identity from '^("(?:[^"]|"")*"|[^".]+)\.'))::oid as namespace
    from jsonb_to_recordset($1::text::jsonb) wanted (type text, identity text)
)
select wanted.type, wanted.identity, candidate.class::bigint as class, candidate.oid::bigint as oid,
    coalesce(candidate.schema, namespace.nspname) as schema
from wanted
cross join lateral (
    select 'pg_catalog.pg_proc'::regclass::oid, function.oid, null::name from pg_catalog.pg_proc function
    where wanted.type in ('function', 'procedure', 'aggregate') and function.pronamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_type'::regclass, type.oid, null from pg_catalog.pg_type type
    where wanted.type = 'type' and type.typnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_class'::regclass, class.oid, null from pg_catalog.pg_class class
    where wanted.type in ('table', 'sequence', 'view', 'materialized view', 'foreign table') and class.relnamespace = wanted.namespace
        and class.relkind in ('r', 'p', 'S', 'v', 'm', 'f')
    union all
    select 'pg_catalog.pg_collation'::regclass, "collation".oid, null from pg_catalog.pg_collation "collation"
    where wanted.type = 'collation' and "collation".collnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_operator'::regclass, operator.oid, null from pg_catalog.pg_operator operator
    where wanted.type = 'operator' and operator.oprnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_opclass'::regclass, class.oid, null from pg_catalog.pg_opclass class
    where wanted.type = 'operator class' and class.opcnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_ts_config'::regclass, config.oid, null from pg_catalog.pg_ts_config config
    where wanted.type = 'text search configuration' and config.cfgnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_ts_dict'::regclass, dictionary.oid, null from pg_catalog.pg_ts_dict dictionary
    where wanted.type = 'text search dictionary' and dictionary.dictnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_extension'::regclass, extension.oid, namespace.nspname
    from pg_catalog.pg_extension extension
    join pg_catalog.pg_namespace namespace on namespace.oid = extension.extnamespace
    where wanted.type = 'extension'
    union all
    select 'pg_catalog.pg_namespace'::regclass, namespace.oid, null from pg_catalog.pg_namespace namespace
    where wanted.type = 'schema'
) candidate (class, oid, schema)
left join pg_catalog.pg_namespace namespace on namespace.oid = wanted.namespace
where (pg_identify_object(candidate.class, candidate.oid, 0)).identity = wanted.identity
