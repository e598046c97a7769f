-- Check, primary key, unique and exclusion constraints of a relation. $1: its oid.
select
    "constraint".conname as name,
    "constraint".contype as kind,
    -- The server leaves out storage parameters of keys; their place is before DEFERRABLE.
    case when "constraint".contype in ('p', 'u') and index.reloptions is not null
        then regexp_replace(pg_get_constraintdef("constraint".oid), '( DEFERRABLE)?( INITIALLY DEFERRED)?$',
            format(' WITH (%s)\1\2', array_to_string(index.reloptions, ', ')))
        else pg_get_constraintdef("constraint".oid) end as definition,
    (
        select coalesce(jsonb_agg(attribute.attname order by key.position), '[]')
        from unnest("constraint".conkey) with ordinality key (number, position)
        join pg_catalog.pg_attribute attribute
            on attribute.attrelid = "constraint".conrelid and attribute.attnum = key.number
    ) as columns
from pg_catalog.pg_constraint "constraint"
left join pg_catalog.pg_class index on index.oid = "constraint".conindid
where "constraint".conrelid = $1 and "constraint".contype in ('c', 'p', 'u', 'x')
order by "constraint".contype <> 'p', "constraint".conname
