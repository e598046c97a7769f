-- Who holds the advisory lock ($1, $2) of this database.
select activity.pid, activity.application_name
from pg_catalog.pg_locks held
join pg_catalog.pg_stat_activity activity on activity.pid = held.pid
where held.locktype = 'advisory' and held.granted and held.objsubid = 2
    and held.classid = $1::int4::oid and held.objid = $2::int4::oid
    and held.database = (select oid from pg_catalog.pg_database where datname = current_database())
limit 1
