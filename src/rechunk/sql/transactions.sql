-- Transactions that are open in this database, but our own and those of the server itself: the virtual transaction, its
-- backend, and since when it is known to us. Everybody may see the locks; whether a transaction has a snapshot is seen
-- only where the role may see the session, and one without needs not be waited for.
select
    lock.virtualtransaction as transaction,
    lock.pid,
    coalesce(activity.application_name, '') as name
from pg_catalog.pg_locks lock
join pg_catalog.pg_stat_get_activity(null) activity on activity.pid = lock.pid
where lock.locktype = 'virtualxid' and lock.granted and lock.mode = 'ExclusiveLock'
    and activity.datid = (select oid from pg_catalog.pg_database where datname = current_database())
    and activity.usesysid is not null
    and activity.pid <> pg_catalog.pg_backend_pid() and activity.pid <> all ($1::int4[])
    and (activity.state is null or activity.backend_xmin is not null)
