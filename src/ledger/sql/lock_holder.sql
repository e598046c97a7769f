-- Who holds the advisory lock ($1, $2) of this database.
select held.pid
from pg_catalog.pg_locks held
where held.locktype = 'advisory' and held.granted and held.objsubid = 2
    and held.classid = $1::int4::oid and held.objid = $2::int4::oid
    and held.database = (select oid from pg_catalog.pg_database where datname = current_database())
limit 1
