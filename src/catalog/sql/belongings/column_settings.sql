-- Statistics targets and options of columns. $1: the table's oid.
select attname as "column", null::text as option, attstattarget::text as value
from pg_catalog.pg_attribute
where attrelid = $1 and attnum > 0 and not attisdropped and coalesce(attstattarget, -1) >= 0
union all
-- What the server stamps onto every column by itself (pg_attver of PostgreSQL 15.20) is nobody's wish.
select attname, split_part(option, '=', 1), substr(option, strpos(option, '=') + 1)
from pg_catalog.pg_attribute, unnest(attoptions) option
where attrelid = $1 and not attisdropped and option not like 'pg\_%'
order by "column", option nulls first
