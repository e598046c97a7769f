-- Whoever holds a lock that others wait for waits itself for less than half of deadlock_timeout from now on.
select set_config('lock_timeout', least(mine.setting::int4, greatest(theirs.setting::int4 / 2, 1), 500)::text, true)
from pg_catalog.pg_settings mine, pg_catalog.pg_settings theirs
where mine.name = 'lock_timeout' and theirs.name = 'deadlock_timeout'
