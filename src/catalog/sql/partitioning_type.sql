select function.prorettype::regtype::text
from pg_catalog.pg_proc function
join pg_catalog.pg_namespace schema on schema.oid = function.pronamespace
where schema.nspname = row ->> 'partitioning_func_schema' and function.proname = row ->> 'partitioning_func'
    and function.pronargs = 1
    and function.proargtypes[0] in ((row ->> 'column_type')::regtype, 'anyelement'::regtype)
order by function.proargtypes[0] = 'anyelement'::regtype
limit 1
