-- Views as they can be replaced in their place. $1: their oids.
select
    namespace.nspname as schema,
    class.relname as name,
    pg_get_userbyid(class.relowner) as owner,
    pg_has_role(class.relowner, 'usage') as may_act_as_owner,
    has_schema_privilege(class.relnamespace, 'create') as may_create_in_schema,
    (
        select coalesce(jsonb_agg(jsonb_build_object('name', option.name, 'value', option.value) order by option.position), '[]')
        from pg_options_to_table(class.reloptions) with ordinality option (name, value, position)
    ) as options,
    pg_get_viewdef(class.oid) as definition
from pg_catalog.pg_class class
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
where class.oid = any ($1::oid[])
order by namespace.nspname, class.relname
