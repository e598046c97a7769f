-- Names of extended statistics that are in use by other tables. $1: the table, quoted.
select namespace.nspname as schema, statistics.stxname as name
from pg_catalog.pg_statistic_ext statistics
join pg_catalog.pg_namespace namespace on namespace.oid = statistics.stxnamespace
where statistics.stxrelid is distinct from to_regclass($1)::oid
order by namespace.nspname, statistics.stxname
