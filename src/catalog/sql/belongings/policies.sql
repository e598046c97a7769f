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
    obj_description(oid, 'pg_policy') as comment
from pg_catalog.pg_policy
where polrelid = $1
order by polname
