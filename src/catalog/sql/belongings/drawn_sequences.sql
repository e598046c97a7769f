-- Sequences that a table's columns draw from and that are no identities: those that it owns, and those that its defaults
-- name. $1: the table's oid.
with used (oid) as (
    select dependency.objid
    from pg_catalog.pg_depend dependency
    where dependency.classid = 'pg_catalog.pg_class'::regclass and dependency.refclassid = 'pg_catalog.pg_class'::regclass
        and dependency.refobjid = $1 and dependency.deptype = 'a'
    union
    select dependency.refobjid
    from pg_catalog.pg_attrdef expression
    join pg_catalog.pg_depend dependency
        on dependency.classid = 'pg_catalog.pg_attrdef'::regclass and dependency.objid = expression.oid
    where expression.adrelid = $1 and dependency.refclassid = 'pg_catalog.pg_class'::regclass
        and dependency.refobjid <> $1
)
select
    class.oid::bigint as oid,
    namespace.nspname as schema,
    class.relname as name,
    pg_get_userbyid(class.relowner) as owner,
    obj_description(class.oid, 'pg_class') as comment
from used
join pg_catalog.pg_class class on class.oid = used.oid and class.relkind = 'S'
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
order by namespace.nspname, class.relname
