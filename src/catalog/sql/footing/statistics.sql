-- Names of extended statistics that are in use.
select namespace.nspname as schema, statistics.stxname as name
from pg_catalog.pg_statistic_ext statistics
join pg_catalog.pg_namespace namespace on namespace.oid = statistics.stxnamespace
order by namespace.nspname, statistics.stxname
