-- Comments on a table, its columns, its constraints and its indexes; those on foreign keys come with them. $1: its oid.
select 'table' as kind, null::name as name, description as text
from pg_catalog.pg_description
where classoid = 'pg_catalog.pg_class'::regclass and objoid = $1 and objsubid = 0
union all
select 'column', attribute.attname, description.description
from pg_catalog.pg_description description
join pg_catalog.pg_attribute attribute
    on attribute.attrelid = description.objoid and attribute.attnum = description.objsubid
where description.classoid = 'pg_catalog.pg_class'::regclass and description.objoid = $1 and description.objsubid > 0
union all
select 'constraint', "constraint".conname, description.description
from pg_catalog.pg_description description
join pg_catalog.pg_constraint "constraint" on "constraint".oid = description.objoid
where description.classoid = 'pg_catalog.pg_constraint'::regclass
    and "constraint".conrelid = $1 and "constraint".contype in ('c', 'n', 'p', 'u', 'x')
union all
select 'index', class.relname, description.description
from pg_catalog.pg_description description
join pg_catalog.pg_index index on index.indexrelid = description.objoid
join pg_catalog.pg_class class on class.oid = index.indexrelid
where description.classoid = 'pg_catalog.pg_class'::regclass and description.objsubid = 0 and index.indrelid = $1
order by kind, name
