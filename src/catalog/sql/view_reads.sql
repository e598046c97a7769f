select coalesce(jsonb_agg(distinct jsonb_build_object('schema', read_schema.nspname, 'name', read_class.relname)), '[]')
from pg_catalog.pg_rewrite rewrite
join pg_catalog.pg_depend dependency
    on dependency.classid = 'pg_catalog.pg_rewrite'::regclass and dependency.objid = rewrite.oid
join pg_catalog.pg_class read_class
    on dependency.refclassid = 'pg_catalog.pg_class'::regclass and read_class.oid = dependency.refobjid
join pg_catalog.pg_namespace read_schema on read_schema.oid = read_class.relnamespace
where rewrite.ev_class = query.oid and rewrite.rulename = '_RETURN' and read_class.oid <> query.oid and read_class.relkind in ('r', 'p', 'v', 'm', 'f')
    -- What every server has.
    and read_class.oid >= 16384
