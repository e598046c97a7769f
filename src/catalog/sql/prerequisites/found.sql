-- Which of the given objects are there. $1: a JSON array of {kind, identity, schema} as pg_identify_object() names them,
-- schemas unquoted.
with wanted as (
    select wanted.kind, wanted.identity, wanted.schema, to_regnamespace(quote_ident(wanted.schema))::oid as namespace
    from jsonb_to_recordset($1::text::jsonb) wanted (kind text, identity text, schema text)
)
select wanted.kind, wanted.identity, candidate.class::bigint as class, candidate.oid::bigint as oid, candidate.schema
from wanted
cross join lateral (
    select 'pg_catalog.pg_proc'::regclass::oid, function.oid, wanted.schema from pg_catalog.pg_proc function
    where wanted.kind in ('function', 'procedure', 'aggregate') and function.pronamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_type'::regclass, type.oid, wanted.schema from pg_catalog.pg_type type
    where wanted.kind = 'type' and type.typnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_class'::regclass, class.oid, wanted.schema from pg_catalog.pg_class class
    where wanted.kind in ('table', 'sequence', 'view', 'materialized view', 'foreign table') and class.relnamespace = wanted.namespace
        and class.relkind in ('r', 'p', 'S', 'v', 'm', 'f')
    union all
    select 'pg_catalog.pg_collation'::regclass, "collation".oid, wanted.schema from pg_catalog.pg_collation "collation"
    where wanted.kind = 'collation' and "collation".collnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_operator'::regclass, operator.oid, wanted.schema from pg_catalog.pg_operator operator
    where wanted.kind = 'operator' and operator.oprnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_opclass'::regclass, class.oid, wanted.schema from pg_catalog.pg_opclass class
    where wanted.kind = 'operator class' and class.opcnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_ts_config'::regclass, config.oid, wanted.schema from pg_catalog.pg_ts_config config
    where wanted.kind = 'text search configuration' and config.cfgnamespace = wanted.namespace
    union all
    select 'pg_catalog.pg_extension'::regclass, extension.oid, namespace.nspname
    from pg_catalog.pg_extension extension
    join pg_catalog.pg_namespace namespace on namespace.oid = extension.extnamespace
    where wanted.kind = 'extension'
) candidate (class, oid, schema)
where (pg_identify_object(candidate.class, candidate.oid, 0)).identity = wanted.identity
