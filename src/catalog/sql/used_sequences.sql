select dependency.objid as sequence, attribute.attname as "column", dependency.deptype = 'i' as identity
from pg_catalog.pg_depend dependency
join pg_catalog.pg_attribute attribute
    on attribute.attrelid = dependency.refobjid and attribute.attnum = dependency.refobjsubid
where dependency.classid = 'pg_catalog.pg_class'::regclass and dependency.refclassid = 'pg_catalog.pg_class'::regclass
    and dependency.refobjid = $1 and dependency.deptype in ('i', 'a')
union
select dependency.refobjid, null, false
from pg_catalog.pg_attrdef expression
join pg_catalog.pg_depend dependency
    on dependency.classid = 'pg_catalog.pg_attrdef'::regclass and dependency.objid = expression.oid
where expression.adrelid = $1 and dependency.refclassid = 'pg_catalog.pg_class'::regclass and dependency.refobjid <> $1
