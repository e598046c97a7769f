-- Sequences that belong to a column: its identity, or one that it owns. $1: the table's oid.
select
    class.oid::bigint as oid,
    class.relname as name,
    attribute.attname as "column",
    dependency.deptype = 'i' as identity,
    obj_description(class.oid, 'pg_class') as comment
from pg_catalog.pg_depend dependency
join pg_catalog.pg_class class on class.oid = dependency.objid and class.relkind = 'S'
join pg_catalog.pg_attribute attribute
    on attribute.attrelid = dependency.refobjid and attribute.attnum = dependency.refobjsubid
where dependency.classid = 'pg_catalog.pg_class'::regclass and dependency.refclassid = 'pg_catalog.pg_class'::regclass
    and dependency.refobjid = $1 and dependency.deptype in ('i', 'a')
order by class.relname
