-- Columns that the role may not fill. $1: the table's oid, $2: column names, $3: insert, or update as well.
select wanted.name
from unnest($2::text[]) wanted (name)
join pg_catalog.pg_attribute attribute on attribute.attrelid = $1 and attribute.attname = wanted.name
where not has_column_privilege($1, attribute.attnum, 'insert')
    or ($3 and not has_column_privilege($1, attribute.attnum, 'update'))
