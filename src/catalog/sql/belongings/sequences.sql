-- Sequences that belong to a column, its identity or one that it owns, and those that its defaults draw from. The text of
-- used_sequences.sql is put in. $1: the table's oid.
select
    class.oid::bigint as oid,
    namespace.nspname as schema,
    class.relname as name,
    max(used."column") as "column",
    bool_or(used.identity) as identity
from ({used}) used
join pg_catalog.pg_class class on class.oid = used.sequence and class.relkind = 'S'
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
group by class.oid, namespace.nspname, class.relname
order by namespace.nspname, class.relname
