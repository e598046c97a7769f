-- Which of the given roles are there, and what they and we may do. $1: names, $2: the table's schema.
select
    rolname as name,
    -- To give something to a role, or to give it in its name, PostgreSQL 16 asks for more than being a member of it.
    pg_has_role(oid, case when current_setting('server_version_num')::int4 >= 160000 then 'set' else 'member' end)
        as may_act,
    coalesce(has_schema_privilege(oid, to_regnamespace(quote_ident($2))::oid, 'usage'), false) as may_use_schema
from pg_catalog.pg_roles
where rolname = any ($1::text[])
order by rolname
