select coalesce(jsonb_agg(distinct jsonb_build_object('type', object.type, 'identity', object.identity)), '[]')
from pg_catalog.pg_rewrite rewrite
join pg_catalog.pg_depend dependency
    on dependency.classid = 'pg_catalog.pg_rewrite'::regclass and dependency.objid = rewrite.oid
left join pg_catalog.pg_type type
    on dependency.refclassid = 'pg_catalog.pg_type'::regclass and type.oid = dependency.refobjid
cross join lateral pg_identify_object(dependency.refclassid, dependency.refobjid, 0) object
where rewrite.ev_class = query.oid and rewrite.rulename = '_RETURN' and dependency.refobjid >= 16384
    -- Relations, and the types of their rows, are told apart.
    and dependency.refclassid <> 'pg_catalog.pg_class'::regclass and coalesce(type.typrelid, 0) = 0
    and not exists (
        select from pg_catalog.pg_depend membership
        join pg_catalog.pg_extension extension on extension.oid = membership.refobjid
        where membership.classid = dependency.refclassid and membership.objid = dependency.refobjid
            and membership.deptype = 'e' and extension.extname = 'timescaledb')
