-- Rules as they can be replaced in their place. $1: their oids.
select
    rewrite.rulename as rule,
    namespace.nspname as schema,
    class.relname as name,
    class.relkind = 'v' as on_view,
    pg_get_userbyid(class.relowner) as owner,
    pg_has_role(class.relowner, 'usage') as may_act_as_owner,
    -- Nothing is made in the schema.
    true as may_create_in_schema,
    pg_get_ruledef(rewrite.oid) as definition
from pg_catalog.pg_rewrite rewrite
join pg_catalog.pg_class class on class.oid = rewrite.ev_class
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
where rewrite.oid = any ($1::oid[])
order by namespace.nspname, class.relname, rewrite.rulename
