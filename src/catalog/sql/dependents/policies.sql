-- Policies of other tables as they can be altered in their place. $1: their oids.
select
    policy.polname as policy,
    namespace.nspname as schema,
    class.relname as name,
    pg_get_userbyid(class.relowner) as owner,
    pg_has_role(class.relowner, 'usage') as may_act_as_owner,
    -- Nothing is made in the schema.
    true as may_create_in_schema,
    pg_get_expr(policy.polqual, policy.polrelid) as using,
    pg_get_expr(policy.polwithcheck, policy.polrelid) as check
from pg_catalog.pg_policy policy
join pg_catalog.pg_class class on class.oid = policy.polrelid
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
where policy.oid = any ($1::oid[])
order by namespace.nspname, class.relname, policy.polname
