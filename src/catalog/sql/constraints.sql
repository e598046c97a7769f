-- Check, primary key, unique and exclusion constraints of a relation. $1: its oid.
select
    "constraint".conname as name,
    "constraint".contype as kind,
    pg_get_constraintdef("constraint".oid) as definition,
    (
        select coalesce(jsonb_agg(attribute.attname order by key.position), '[]')
        from unnest("constraint".conkey) with ordinality key (number, position)
        join pg_catalog.pg_attribute attribute
            on attribute.attrelid = "constraint".conrelid and attribute.attnum = key.number
    ) as columns
from pg_catalog.pg_constraint "constraint"
where "constraint".conrelid = $1 and "constraint".contype in ('c', 'p', 'u', 'x')
order by "constraint".contype <> 'p', "constraint".conname
