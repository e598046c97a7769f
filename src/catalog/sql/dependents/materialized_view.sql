-- A materialized view with everything that has to be made again with it, but for what uses it. $1: its oid.
select
    namespace.nspname as schema,
    class.relname as name,
    pg_get_userbyid(class.relowner) as owner,
    pg_has_role(class.relowner, 'usage') and pg_has_role(class.relowner,
        case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) as may_act_as_owner,
    has_schema_privilege(class.relnamespace, 'create') as may_create_in_schema,
    pg_get_viewdef(class.oid) as definition,
    class.relispopulated as populated,
    method.amname as method,
    tablespace.spcname as tablespace,
    (
        select coalesce(jsonb_agg(jsonb_build_object('namespace', parameters.namespace, 'name', option.name,
            'value', option.value) order by parameters.namespace nulls first, option.position), '[]')
        from (values (null, class.reloptions), ('toast', toast.reloptions)) parameters (namespace, options),
            pg_options_to_table(parameters.options) with ordinality option (name, value, position)
    ) as options,
    obj_description(class.oid, 'pg_class') as comment,
    (
        select coalesce(jsonb_agg(to_jsonb(attributes) - 'number' order by attributes.number), '[]')
        from (
            select attribute.attnum as number, attribute.attname as name,
                case when attribute.attstorage <> type.typstorage then
                    case attribute.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main'
                        else 'extended' end
                end as storage,
                case attribute.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end as compression,
                nullif(attribute.attstattarget, -1) as statistics_target,
                (
                    -- Not what the server stamps onto columns by itself (pg_attver of PostgreSQL 15.20).
                    select coalesce(jsonb_agg(jsonb_build_object('name', option.name, 'value', option.value)
                        order by option.position), '[]')
                    from pg_options_to_table(attribute.attoptions) with ordinality option (name, value, position)
                    where option.name not like 'pg\_%'
                ) as options,
                col_description(class.oid, attribute.attnum) as comment
            from pg_catalog.pg_attribute attribute
            join pg_catalog.pg_type type on type.oid = attribute.atttypid
            where attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
        ) attributes
        where storage is not null or compression is not null or statistics_target is not null
            or options <> '[]' or comment is not null
    ) as columns,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'name', index_class.relname,
            'unique', index.indisunique,
            'body', case when starts_with(text.definition, text.prefix)
                then substr(text.definition, length(text.prefix) + 1) end,
            'tablespace', index_tablespace.spcname,
            'clustered', index.indisclustered,
            'comment', obj_description(index.indexrelid, 'pg_class'),
            'statistics_targets', (
                select coalesce(jsonb_agg(jsonb_build_array(attnum, attstattarget) order by attnum), '[]')
                from pg_catalog.pg_attribute where attrelid = index.indexrelid and coalesce(attstattarget, -1) >= 0
            )) order by index_class.relname), '[]')
        from pg_catalog.pg_index index
        join pg_catalog.pg_class index_class on index_class.oid = index.indexrelid
        left join pg_catalog.pg_tablespace index_tablespace on index_tablespace.oid = index_class.reltablespace
        cross join lateral (
            select pg_get_indexdef(index.indexrelid) as definition,
                format('CREATE %sINDEX %I ON %I.%I ', case when index.indisunique then 'UNIQUE ' end,
                    index_class.relname, namespace.nspname, class.relname) as prefix
        ) text
        where index.indrelid = class.oid and index.indisvalid
    ) as indexes,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'schema', statistics_schema.nspname, 'name', statistics.stxname,
            'owner', pg_get_userbyid(statistics.stxowner),
            'definition', pg_get_statisticsobjdef(statistics.oid),
            'target', nullif(statistics.stxstattarget, -1),
            'comment', obj_description(statistics.oid, 'pg_statistic_ext'))
            order by statistics_schema.nspname, statistics.stxname), '[]')
        from pg_catalog.pg_statistic_ext statistics
        join pg_catalog.pg_namespace statistics_schema on statistics_schema.oid = statistics.stxnamespace
        where statistics.stxrelid = class.oid
    ) as statistics,
    (
        select coalesce(jsonb_agg(to_jsonb(grants) - 'number' order by number, grantee, grantable), '[]')
        from (
            select 0 as number, null as "column", pg_get_userbyid(nullif(grantee, 0)) as grantee, is_grantable as grantable,
                array_agg(privilege_type order by privilege_type) as privileges
            from aclexplode(coalesce(class.relacl, acldefault('r', class.relowner)))
            group by grantee, is_grantable
            union all
            select attribute.attnum, attribute.attname, pg_get_userbyid(nullif(grantee, 0)), is_grantable,
                array_agg(privilege_type order by privilege_type)
            from pg_catalog.pg_attribute attribute, aclexplode(attribute.attacl)
            where attribute.attrelid = class.oid and not attribute.attisdropped
            group by attribute.attnum, attribute.attname, grantee, is_grantable
        ) grants
    ) as grants,
    (
        select coalesce(jsonb_agg(distinct pg_get_userbyid(nullif(grantee, 0))), '[]')
        from pg_catalog.pg_default_acl defaults, aclexplode(defaults.defaclacl)
        where defaults.defaclobjtype = 'r' and defaults.defaclrole = (select oid from pg_catalog.pg_roles where rolname = current_user)
    ) as default_grantees
from pg_catalog.pg_class class
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
join pg_catalog.pg_am method on method.oid = class.relam
left join pg_catalog.pg_tablespace tablespace on tablespace.oid = class.reltablespace
left join pg_catalog.pg_class toast on toast.oid = class.reltoastrelid
where class.oid = $1
