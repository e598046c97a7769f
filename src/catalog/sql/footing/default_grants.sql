-- What objects of each kind are granted that the role makes in a schema: the server's defaults, or the role's own in their
-- place, and what it has added for the schema. $1: the schema.
with lists (kind, items) as (
    select kind.name, coalesce((
        select defaclacl from pg_catalog.pg_default_acl
        where defaclrole = role.oid and defaclnamespace = 0 and defaclobjtype = kind.name
    ), acldefault(kind.letter, role.oid))
    from pg_catalog.pg_roles role
    cross join (values ('r'::"char", 'r'::"char"), ('S', 's'), ('f', 'f'), ('T', 'T'), ('n', 'n')) kind (name, letter)
    where role.rolname = current_user
    union all
    select defaclobjtype, defaclacl
    from pg_catalog.pg_default_acl
    join pg_catalog.pg_roles role on role.oid = defaclrole
    where role.rolname = current_user and defaclnamespace = to_regnamespace(quote_ident($1))::oid
)
select
    lists.kind,
    null::name as "column",
    case when item.grantee <> 0 then pg_get_userbyid(item.grantee) end as grantee,
    pg_get_userbyid(item.grantor) as grantor,
    item.is_grantable as grantable,
    jsonb_agg(distinct item.privilege_type order by item.privilege_type) as privileges
from lists
cross join lateral aclexplode(lists.items) item
group by lists.kind, item.grantor, item.grantee, item.is_grantable
order by lists.kind, item.grantor, item.grantee, item.is_grantable
