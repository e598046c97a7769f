-- What a hypertable has beside what is carried: one row each, for the plan and the report.
-- $1: the relation's oid.
with relation as (
    select class.* from pg_catalog.pg_class class where class.oid = $1
)
select 'inheritance' as kind, inhparent::regclass::text as object
from pg_catalog.pg_inherits where inhrelid = $1
union all
select 'type of the table', reloftype::regtype::text from relation where reloftype <> 0
union all
select 'access method', method.amname
from relation join pg_catalog.pg_am method on method.oid = relation.relam where method.amname <> 'heap'
union all
select 'membership in an extension', extension.extname
from pg_catalog.pg_depend membership
join pg_catalog.pg_extension extension on extension.oid = membership.refobjid
where membership.classid = 'pg_catalog.pg_class'::regclass and membership.objid = $1 and membership.deptype = 'e'
    and membership.refclassid = 'pg_catalog.pg_extension'::regclass
union all
-- What goes with an extension that it is no member of.
select 'dependency on an extension', pg_describe_object(dependency.classid, dependency.objid, 0)
from pg_catalog.pg_depend dependency
left join pg_catalog.pg_index index on dependency.classid = 'pg_catalog.pg_class'::regclass and index.indexrelid = dependency.objid
left join pg_catalog.pg_trigger trigger on dependency.classid = 'pg_catalog.pg_trigger'::regclass and trigger.oid = dependency.objid
where dependency.deptype = 'x' and coalesce(index.indrelid, trigger.tgrelid) = $1
union all
select 'security label', label from pg_catalog.pg_seclabel
where classoid = 'pg_catalog.pg_class'::regclass and objoid = $1
order by kind, object
