-- Privileges on a table and its columns, or on a sequence. A null list means what the server gives by default, so both
-- are read as the same. $1: the relation's oid.
with lists (number, "column", items) as (
    select 0::int2, null::name, coalesce(relacl,
        acldefault(case when relkind = 'S' then 's' else 'r' end::"char", relowner))
    from pg_catalog.pg_class where oid = $1
    union all
    select attnum, attname, attacl
    from pg_catalog.pg_attribute where attrelid = $1 and not attisdropped and attacl is not null
)
select
    lists."column",
    case when item.grantee <> 0 then pg_get_userbyid(item.grantee) end as grantee,
    pg_get_userbyid(item.grantor) as grantor,
    item.is_grantable as grantable,
    jsonb_agg(item.privilege_type order by item.privilege_type) as privileges
from lists
cross join lateral aclexplode(lists.items) with ordinality item (grantor, grantee, privilege_type, is_grantable, position)
group by lists.number, lists."column", item.grantor, item.grantee, item.is_grantable
order by lists.number, min(item.position)
