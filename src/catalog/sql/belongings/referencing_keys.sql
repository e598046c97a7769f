-- Foreign keys of other tables that refer to a table; TimescaleDB's copies of them for its chunks have a parent.
-- `around` is the definition before and after the table's name, which is found by the text that must stand before it,
-- and null where that is not what stands there. $1: the table's oid.
select
    jsonb_build_object('schema', text.schema, 'name', text.table) as referencing,
    text.name,
    case when starts_with(text.definition, text.head || text.referenced || '(')
        then jsonb_build_array(text.head, substr(text.definition, length(text.head || text.referenced) + 1)) end as around,
    text.validated,
    text.comment
from (
    select
        namespace.nspname as schema,
        referencing.relname as "table",
        "constraint".conname as name,
        "constraint".convalidated as validated,
        obj_description("constraint".oid, 'pg_constraint') as comment,
        regexp_replace(pg_get_constraintdef("constraint".oid), ' NOT VALID$', '') as definition,
        (
            select format('FOREIGN KEY (%s) REFERENCES ', string_agg(quote_ident(attribute.attname), ', ' order by key.position))
            from unnest("constraint".conkey) with ordinality key (number, position)
            join pg_catalog.pg_attribute attribute
                on attribute.attrelid = "constraint".conrelid and attribute.attnum = key.number
        ) as head,
        format('%I.%I', referenced_schema.nspname, referenced.relname) as referenced
    from pg_catalog.pg_constraint "constraint"
    join pg_catalog.pg_class referencing on referencing.oid = "constraint".conrelid
    join pg_catalog.pg_namespace namespace on namespace.oid = referencing.relnamespace
    join pg_catalog.pg_class referenced on referenced.oid = "constraint".confrelid
    join pg_catalog.pg_namespace referenced_schema on referenced_schema.oid = referenced.relnamespace
    where "constraint".confrelid = $1 and "constraint".contype = 'f' and "constraint".conparentid = 0
        and "constraint".conrelid <> $1
) text
order by text.schema, text.table, text.name
