-- Functions and procedures as they can be replaced in their place. $1: their oids.
select
    function.oid::regprocedure::text as identity,
    pg_get_userbyid(function.proowner) as owner,
    pg_has_role(function.proowner, 'usage') as may_act_as_owner,
    has_schema_privilege(function.pronamespace, 'create') as may_create_in_schema,
    pg_get_functiondef(function.oid) as definition
from pg_catalog.pg_proc function
where function.oid = any ($1::oid[])
order by identity
