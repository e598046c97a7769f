-- The columns of a relation, in order. $1: its oid.
select
    attribute.attname as name,
    attribute.atttypid::bigint as type_oid,
    format_type(attribute.atttypid, attribute.atttypmod) as type,
    attribute.attlen::int as type_length,
    -- From PostgreSQL 18 on it may be enforced for new rows only.
    attribute.attnotnull and not exists (
        select from pg_catalog.pg_constraint "constraint"
        where "constraint".conrelid = attribute.attrelid and "constraint".contype = 'n'
            and "constraint".conkey[1] = attribute.attnum and not "constraint".convalidated
    ) as not_null,
    nullif(attribute.attidentity::text, '') as identity,
    nullif(attribute.attgenerated::text, '') as generated,
    pg_get_expr(expression.adbin, expression.adrelid) as expression,
    case when attribute.attcollation <> type.typcollation
        then format('%I.%I', collation_schema.nspname, "collation".collname) end as collation,
    case when attribute.attstorage <> type.typstorage then
        case attribute.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end
    end as storage,
    case attribute.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end as compression
from pg_catalog.pg_attribute attribute
join pg_catalog.pg_type type on type.oid = attribute.atttypid
left join pg_catalog.pg_attrdef expression
    on expression.adrelid = attribute.attrelid and expression.adnum = attribute.attnum
left join pg_catalog.pg_collation "collation" on "collation".oid = attribute.attcollation
left join pg_catalog.pg_namespace collation_schema on collation_schema.oid = "collation".collnamespace
where attribute.attrelid = $1 and attribute.attnum > 0 and not attribute.attisdropped
order by attribute.attnum
