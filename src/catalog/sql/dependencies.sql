-- Functions, operators, collations and so on that the definition calls and that PostgreSQL does not ship.
-- $1: the relation's oid, $2: oids of its columns' types and their parts, which are dealt with as types.
with own (classid, objid) as (
    select 'pg_catalog.pg_attrdef'::regclass, oid from pg_catalog.pg_attrdef where adrelid = $1
    union all
    select 'pg_catalog.pg_constraint'::regclass, oid from pg_catalog.pg_constraint
    where conrelid = $1 and contype in ('c', 'p', 'u', 'x')
    union all
    select 'pg_catalog.pg_class'::regclass, indexrelid from pg_catalog.pg_index where indrelid = $1
    union all
    select 'pg_catalog.pg_class'::regclass, $1::oid
    union all
    select 'pg_catalog.pg_type'::regclass, unnest($2::oid[])
    union all
    select 'pg_catalog.pg_constraint'::regclass, oid from pg_catalog.pg_constraint where contypid = any ($2::oid[])
)
select distinct object.type, object.identity
from own
join pg_catalog.pg_depend dependency on dependency.classid = own.classid and dependency.objid = own.objid
cross join lateral pg_identify_object(dependency.refclassid, dependency.refobjid, 0) object
where dependency.refobjid >= 16384
    and dependency.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_collation'::regclass,
        'pg_catalog.pg_opclass'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass,
        'pg_catalog.pg_ts_config'::regclass)
    and not (dependency.refclassid = 'pg_catalog.pg_type'::regclass and dependency.refobjid = any ($2::oid[]))
    -- A type's own functions come with it.
    and not (dependency.classid = 'pg_catalog.pg_type'::regclass and dependency.refclassid = 'pg_catalog.pg_proc'::regclass)
    and not exists (
        select from pg_catalog.pg_depend membership
        join pg_catalog.pg_extension extension on extension.oid = membership.refobjid
        where membership.classid = dependency.refclassid and membership.objid = dependency.refobjid
            and membership.deptype = 'e' and extension.extname = 'timescaledb'
    )
order by object.type, object.identity
