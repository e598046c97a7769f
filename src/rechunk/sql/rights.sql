-- What the role may do with a table, and what stands in the way. $1: the table's oid.
select
    pg_has_role(class.relowner, 'usage') as owns,
    has_schema_privilege(class.relnamespace, 'create') as may_create_in_schema,
    exists (
        select from pg_catalog.pg_subscription_rel member where member.srrelid = class.oid
    ) as is_subscribed,
    (
        select json_agg(inhrelid::regclass::text) from pg_catalog.pg_inherits
        where inhparent = class.oid and not exists (
            select from (select to_jsonb(chunk) as row from _timescaledb_catalog.chunk) chunks
            where coalesce((row ->> 'relid')::regclass,
                to_regclass(format('%I.%I', row ->> 'schema_name', row ->> 'table_name'))) = inhrelid)
    ) as children,
    exists (
        select from pg_catalog.pg_attribute where attrelid = class.oid and attnum > 0 and attisdropped
    ) as has_dropped_columns
from pg_catalog.pg_class class
where class.oid = $1
