-- Which of the given roles are there, and what they and we may do. $1: names, $2: a schema.
select
    name.rolname as name,
    may.act as may_act,
    coalesce(has_schema_privilege(name.oid, schema.oid, 'usage'), false) as may_use_schema,
    -- PostgreSQL asks of a new owner that he could have made it himself, unless a superuser gives.
    may.superuser or (may.act and pg_has_role(name.oid, 'usage')
        and coalesce(has_schema_privilege(name.oid, schema.oid, 'create'), false)) as may_own,
    may.superuser or (may.act and pg_has_role(name.oid, 'usage')
        and has_database_privilege(name.oid, current_database(), 'create')) as may_own_schema
from pg_catalog.pg_roles name
cross join (select to_regnamespace(quote_ident($2))::oid as oid) schema
cross join lateral (
    -- To give something to a role, or to give it in its name, PostgreSQL 16 asks for more than being a member of it.
    select
        pg_has_role(name.oid, case when current_setting('server_version_num')::int4 >= 160000 then 'set' else 'member' end)
            as act,
        (select rolsuper from pg_catalog.pg_roles where rolname = current_user) as superuser
) may
where name.rolname = any ($1::text[])
order by name.rolname
