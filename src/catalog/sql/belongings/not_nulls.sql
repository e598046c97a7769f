-- Names of NOT NULL constraints; none before PostgreSQL 18. $1: the table's oid.
select attribute.attname as "column", "constraint".conname as name, "constraint".convalidated as validated
from pg_catalog.pg_constraint "constraint"
join pg_catalog.pg_attribute attribute
    on attribute.attrelid = "constraint".conrelid and attribute.attnum = "constraint".conkey[1]
where "constraint".conrelid = $1 and "constraint".contype = 'n'
order by attribute.attnum
