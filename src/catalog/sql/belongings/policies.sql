-- Policies of row-level security. $1: the table's oid.
select
    polname as name,
    polpermissive as permissive,
    case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
        else 'all' end as command,
    (
        select jsonb_agg(case when role <> 0 then pg_get_userbyid(role) end order by position)
        from unnest(polroles) with ordinality member (role, position)
    ) as roles,
    pg_get_expr(polqual, polrelid) as "using",
    pg_get_expr(polwithcheck, polrelid) as "check",
    (
        select coalesce(jsonb_agg(distinct jsonb_build_object('type', object.type, 'identity', object.identity)), '[]')
        from pg_catalog.pg_depend dependency
        cross join lateral pg_identify_object(dependency.refclassid, dependency.refobjid, 0) object
        where dependency.classid = 'pg_catalog.pg_policy'::regclass and dependency.objid = policy.oid
            and dependency.refobjid >= 16384 and dependency.refobjid <> $1
            and dependency.refclassid not in ('pg_catalog.pg_authid'::regclass, 'pg_catalog.pg_constraint'::regclass,
                'pg_catalog.pg_publication'::regclass)
    ) as needs,
    obj_description(policy.oid, 'pg_policy') as comment
from pg_catalog.pg_policy policy
where polrelid = $1
order by polname
