-- Which of the given jobs are running: whoever runs one holds an advisory lock on it, which every role can see. The
-- last field of the lock's tag tells TimescaleDB's locks from those of users. $1: job ids.
select distinct lock.classid::bigint::int as id
from pg_catalog.pg_locks lock
where lock.locktype = 'advisory' and lock.objsubid = 29749 and lock.granted
    and lock.database = (select oid from pg_catalog.pg_database where datname = current_database())
    and lock.classid::bigint = any ($1::int[])
