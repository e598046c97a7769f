-- Indexes that belong to no constraint. `body` is the definition from USING on; it is cut off by the text that must
-- stand before it, and null where that is not what stands there. $1: the relation's oid.
select
    class.relname as name,
    index.indisunique as "unique",
    index.indisvalid as valid,
    method.amname as method,
    (
        select coalesce(jsonb_agg(attribute.attname order by key.position), '[]')
        from unnest(index.indkey::int2[]) with ordinality key (number, position)
        left join pg_catalog.pg_attribute attribute
            on attribute.attrelid = index.indrelid and attribute.attnum = key.number
        where key.position <= index.indnkeyatts
    ) as keys,
    index.indpred is not null as partial,
    case when starts_with(text.definition, text.prefix) then substr(text.definition, length(text.prefix) + 1) end as body,
    pg_get_indexdef(index.indexrelid) as definition
from pg_catalog.pg_index index
join pg_catalog.pg_class class on class.oid = index.indexrelid
join pg_catalog.pg_am method on method.oid = class.relam
join pg_catalog.pg_class relation on relation.oid = index.indrelid
join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
cross join lateral (
    select pg_get_indexdef(index.indexrelid) as definition,
        format('CREATE %sINDEX %I ON %I.%I ', case when index.indisunique then 'UNIQUE ' end,
            class.relname, namespace.nspname, relation.relname) as prefix
) text
where index.indrelid = $1
    and not exists (
        select from pg_catalog.pg_constraint "constraint"
        where "constraint".conindid = index.indexrelid and "constraint".contype in ('p', 'u', 'x')
    )
order by class.relname
