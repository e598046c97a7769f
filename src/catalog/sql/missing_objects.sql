-- Which of the given objects are not there. $1: a JSON array of {type, identity} as pg_identify_object() names them.
select wanted.type, wanted.identity
from jsonb_to_recordset($1::text::jsonb) wanted (type text, identity text)
where case wanted.type
    when 'function' then to_regprocedure(wanted.identity) is null
    when 'operator' then to_regoperator(wanted.identity) is null
    when 'type' then to_regtype(wanted.identity) is null
    when 'text search configuration' then not exists (
        select from pg_catalog.pg_ts_config config
        join pg_catalog.pg_namespace namespace on namespace.oid = config.cfgnamespace
        where format('%I.%I', namespace.nspname, config.cfgname) = wanted.identity
    )
    when 'collation' then to_regcollation(wanted.identity) is null
    when 'operator class' then not exists (
        select from pg_catalog.pg_opclass class
        join pg_catalog.pg_am method on method.oid = class.opcmethod
        join pg_catalog.pg_namespace namespace on namespace.oid = class.opcnamespace
        where format('%I.%I USING %I', namespace.nspname, class.opcname, method.amname) = wanted.identity
    )
    else false end
