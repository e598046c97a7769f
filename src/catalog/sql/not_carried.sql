-- What a hypertable has beside what is carried: one row each, for the plan and the report.
-- $1: the relation's oid, $2: its schema, $3: its name, $4: hypertable id.
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
select 'attached tablespace', tablespace_name::text from _timescaledb_catalog.tablespace where hypertable_id = $4
union all
select 'security label', label from pg_catalog.pg_seclabel
where classoid = 'pg_catalog.pg_class'::regclass and objoid = $1
union all
select 'policy or job', format('%s (job %s)', proc_name, job_id)
from timescaledb_information.jobs where hypertable_schema = $2 and hypertable_name = $3
union all
select 'continuous aggregate', format('%I.%I', view_schema, view_name)
from timescaledb_information.continuous_aggregates where hypertable_schema = $2 and hypertable_name = $3
union all
select 'view', view::regclass::text
from (
    select distinct rewrite.ev_class as view
    from pg_catalog.pg_depend dependency
    join pg_catalog.pg_rewrite rewrite on rewrite.oid = dependency.objid
    where dependency.classid = 'pg_catalog.pg_rewrite'::regclass
        and dependency.refclassid = 'pg_catalog.pg_class'::regclass and dependency.refobjid = $1
) views
where not exists (
    select from timescaledb_information.continuous_aggregates aggregate
    where to_regclass(format('%I.%I', aggregate.view_schema, aggregate.view_name)) = view)
order by kind, object
