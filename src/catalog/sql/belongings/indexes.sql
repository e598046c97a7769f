-- What the indexes of a table have beside their definitions. $1: the table's oid.
select
    class.relname as name,
    tablespace.spcname as tablespace,
    (
        select coalesce(jsonb_agg(jsonb_build_array(attnum, attstattarget) order by attnum), '[]')
        from pg_catalog.pg_attribute
        where attrelid = class.oid and attnum > 0 and coalesce(attstattarget, -1) >= 0
    ) as statistics_targets
from pg_catalog.pg_index index
join pg_catalog.pg_class class on class.oid = index.indexrelid
left join pg_catalog.pg_tablespace tablespace on tablespace.oid = class.reltablespace
where index.indrelid = $1
order by class.relname
