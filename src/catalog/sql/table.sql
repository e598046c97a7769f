-- The relation itself, as PostgreSQL knows it. $1: its oid.
select
    relation.oid::bigint as oid,
    namespace.nspname as schema,
    relation.relname as name,
    relation.relkind as kind,
    relation.relpersistence = 'u' as unlogged,
    pg_get_userbyid(relation.relowner) as owner,
    row_security_active(relation.oid) as row_security_active,
    has_schema_privilege(namespace.oid, 'usage') as schema_usable,
    (
        select coalesce(jsonb_agg(attribute.attname order by attribute.attnum), '[]')
        from pg_catalog.pg_attribute attribute
        where attribute.attrelid = relation.oid and attribute.attnum > 0 and not attribute.attisdropped
            and not has_column_privilege(relation.oid, attribute.attnum, 'select')
    ) as unreadable_columns,
    pg_relation_size(relation.oid) as root_bytes
from pg_catalog.pg_class relation
join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
where relation.oid = $1
