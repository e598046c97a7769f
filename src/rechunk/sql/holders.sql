-- Who holds a lock on a table, or on a chunk of it, that is in the way of another one. $1: the table's oid; $2: the modes
-- that are in the way.
select distinct lock.pid, coalesce(activity.application_name, '') as name
from pg_catalog.pg_locks lock
join pg_catalog.pg_stat_get_activity(null) activity on activity.pid = lock.pid
where lock.locktype = 'relation' and lock.granted and lock.mode = any ($2)
    and lock.database = (select oid from pg_catalog.pg_database where datname = current_database())
    and (lock.relation = $1 or lock.relation in (select inhrelid from pg_catalog.pg_inherits where inhparent = $1))
    and lock.pid <> pg_catalog.pg_backend_pid()
order by lock.pid
limit 3
