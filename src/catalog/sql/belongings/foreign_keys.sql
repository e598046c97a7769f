-- Foreign keys of a table. $1: its oid.
select
    "constraint".conname as name,
    regexp_replace(pg_get_constraintdef("constraint".oid), ' NOT VALID$', '') as definition,
    "constraint".convalidated as validated,
    jsonb_build_object('schema', namespace.nspname, 'name', referenced.relname) as referenced,
    (
        select jsonb_agg(attribute.attname order by key.position)
        from unnest("constraint".confkey) with ordinality key (number, position)
        join pg_catalog.pg_attribute attribute
            on attribute.attrelid = "constraint".confrelid and attribute.attnum = key.number
    ) as referenced_columns,
    obj_description("constraint".oid, 'pg_constraint') as comment
from pg_catalog.pg_constraint "constraint"
join pg_catalog.pg_class referenced on referenced.oid = "constraint".confrelid
join pg_catalog.pg_namespace namespace on namespace.oid = referenced.relnamespace
where "constraint".conrelid = $1 and "constraint".contype = 'f' and "constraint".conparentid = 0
-- In the order in which they were made: it decides whether a cascade comes before a check.
order by "constraint".oid
