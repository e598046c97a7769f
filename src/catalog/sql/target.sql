-- What stands where the new table shall be. $1: schema, $2: name, $3: the source's owner.
select
    namespace.oid is not null as schema_exists,
    coalesce(has_schema_privilege(namespace.oid, 'create') and has_schema_privilege(namespace.oid, 'usage'), false)
        as may_create_in_schema,
    has_database_privilege(current_database(), 'temporary') as may_create_temporary,
    case when ledger.oid is null then has_database_privilege(current_database(), 'create')
        else has_schema_privilege(ledger.oid, 'usage') and coalesce((
            select bool_and(has_table_privilege(class.oid, 'select') and has_table_privilege(class.oid, 'insert')
                and has_table_privilege(class.oid, 'update') and has_table_privilege(class.oid, 'delete'))
            from pg_catalog.pg_class class where class.relnamespace = ledger.oid and class.relkind = 'r'
        ), has_schema_privilege(ledger.oid, 'create')) end as may_keep_ledger,
    relation.relkind::text as existing,
    relation.oid::bigint as existing_oid,
    (
        select coalesce(jsonb_agg(class.relname), '[]') from pg_catalog.pg_class class
        where class.relnamespace = namespace.oid
    ) as taken,
    (
        select coalesce(jsonb_agg(class.relname), '[]') from pg_catalog.pg_class class
        where class.relnamespace = namespace.oid and exists (
            select from pg_catalog.pg_depend dependency
            where dependency.classid = 'pg_catalog.pg_class'::regclass and dependency.objid = class.oid
                and dependency.refclassid = 'pg_catalog.pg_class'::regclass and dependency.refobjid = relation.oid
                and dependency.deptype in ('a', 'i')
            union all
            select from pg_catalog.pg_index index where index.indexrelid = class.oid and index.indrelid = relation.oid)
    ) as taken_by_existing,
    coalesce((
        -- To give the table away, and to go on working with it.
        select pg_has_role(role.oid, case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)
            and pg_has_role(role.oid, 'usage')
            -- PostgreSQL asks this of the new owner, unless a superuser gives.
            and (coalesce(has_schema_privilege(role.oid, namespace.oid, 'create'), false)
                or (select rolsuper from pg_catalog.pg_roles where rolname = current_user))
        from pg_catalog.pg_roles role where role.rolname = $3
    ), false) as may_own_for_source_owner
from (values (1)) one
left join pg_catalog.pg_namespace ledger on ledger.nspname = '_hypercopy'
left join pg_catalog.pg_namespace namespace on namespace.nspname = $1
left join pg_catalog.pg_class relation on relation.relnamespace = namespace.oid and relation.relname = $2
