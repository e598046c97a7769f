select coalesce(jsonb_agg(jsonb_build_object(
    'grantee', grantee.rolname, 'privilege', acl.privilege_type, 'column', acl.column, 'grantable', acl.is_grantable)
    order by grantee.rolname, acl.column, acl.privilege_type), '[]')
from (
    select (aclexplode(view.relacl)).*, null as column
    union all
    select (aclexplode(attribute.attacl)).*, attribute.attname
    from pg_catalog.pg_attribute attribute where attribute.attrelid = view.oid and not attribute.attisdropped
) acl
left join pg_catalog.pg_roles grantee on grantee.oid = acl.grantee
where acl.grantee <> view.relowner
