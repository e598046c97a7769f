-- Whose an object is, who may do what with it, and what is said of it and its columns. A null list of privileges means
-- what the server gives by default, so both are read as the same. $1: the catalog that it is in, $2: its oid.
with object (kind, owner, items, relation) as (
    select case relkind when 'S' then 's' else 'r' end, relowner, relacl, oid
    from pg_catalog.pg_class where $1::oid = 'pg_catalog.pg_class'::regclass and oid = $2
    union all
    select 'f', proowner, proacl, null
    from pg_catalog.pg_proc where $1::oid = 'pg_catalog.pg_proc'::regclass and oid = $2
    union all
    select 'T', typowner, typacl, nullif(typrelid, 0)
    from pg_catalog.pg_type where $1::oid = 'pg_catalog.pg_type'::regclass and oid = $2
    union all
    select 'n', nspowner, nspacl, null
    from pg_catalog.pg_namespace where $1::oid = 'pg_catalog.pg_namespace'::regclass and oid = $2
    union all
    select null, collowner, null, null
    from pg_catalog.pg_collation where $1::oid = 'pg_catalog.pg_collation'::regclass and oid = $2
    union all
    select null, oprowner, null, null
    from pg_catalog.pg_operator where $1::oid = 'pg_catalog.pg_operator'::regclass and oid = $2
    union all
    select null, opcowner, null, null
    from pg_catalog.pg_opclass where $1::oid = 'pg_catalog.pg_opclass'::regclass and oid = $2
    union all
    select null, cfgowner, null, null
    from pg_catalog.pg_ts_config where $1::oid = 'pg_catalog.pg_ts_config'::regclass and oid = $2
    union all
    select null, dictowner, null, null
    from pg_catalog.pg_ts_dict where $1::oid = 'pg_catalog.pg_ts_dict'::regclass and oid = $2
), list (number, "column", items) as (
    select 0::int2, null::name, coalesce(items, acldefault(kind::"char", owner)) from object where kind is not null
    union all
    select attribute.attnum, attribute.attname, attribute.attacl
    from object
    join pg_catalog.pg_attribute attribute on attribute.attrelid = object.relation
    where object.kind = 'r' and not attribute.attisdropped and attribute.attacl is not null
), privilege as (
    select
        list.number,
        list."column",
        case when item.grantee <> 0 then pg_get_userbyid(item.grantee) end as grantee,
        pg_get_userbyid(item.grantor) as grantor,
        item.is_grantable as grantable,
        jsonb_agg(item.privilege_type order by item.privilege_type) as privileges,
        min(item.position) as position
    from list
    cross join lateral aclexplode(list.items) with ordinality item (grantor, grantee, privilege_type, is_grantable, position)
    group by list.number, list."column", item.grantor, item.grantee, item.is_grantable
)
select
    pg_get_userbyid(object.owner) as owner,
    (
        select coalesce(jsonb_agg(to_jsonb(privilege) - 'number' - 'position' order by number, position), '[]') from privilege
    ) as grants,
    (
        select coalesce(jsonb_agg(jsonb_build_object('column', attribute.attname, 'text', description.description)
            order by description.objsubid), '[]')
        from pg_catalog.pg_description description
        left join pg_catalog.pg_attribute attribute
            on attribute.attrelid = object.relation and attribute.attnum = nullif(description.objsubid, 0)
        where (description.classoid = $1::oid and description.objoid = $2 and description.objsubid = 0)
            or (description.classoid = 'pg_catalog.pg_class'::regclass and description.objoid = object.relation
                and description.objsubid > 0)
    ) as comments
from object
