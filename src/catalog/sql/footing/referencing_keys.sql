-- What keeps foreign keys of other tables from being made: one row for each that cannot be. $1: a JSON array of them, $2: the
-- table that they shall refer to, quoted: those that do, to one that is to be made anew, are in nobody's way.
with wanted as (
    select key ->> 'name' as name, key -> 'referencing' ->> 'schema' as schema, key -> 'referencing' ->> 'name' as "table"
    from jsonb_array_elements($1::text::jsonb) key
), judged as (
    select wanted.*,
        case
            when class.oid is null then 'the table is missing on the target'
            when class.relkind not in ('r', 'p') then 'it is no table on the target'
            when exists (
                select from _timescaledb_catalog.hypertable
                where schema_name = wanted.schema and table_name = wanted."table"
            ) then 'the table is a hypertable on the target, and TimescaleDB has no foreign keys between two'
            when not pg_has_role(class.relowner, 'usage')
                then format('the table belongs to %s, and the role is not a member of it', pg_get_userbyid(class.relowner))
            when class.relkind = 'p' and current_setting('server_version_num')::int4 < 180000
                then 'on a partitioned table it cannot be added without checking all rows'
            when exists (
                select from pg_catalog.pg_constraint where conrelid = class.oid and conname = wanted.name
                    and confrelid is distinct from to_regclass($2)::oid
            ) then 'the table has a constraint of this name on the target'
        end as reason
    from wanted
    left join pg_catalog.pg_class class on class.oid = to_regclass(format('%I.%I', wanted.schema, wanted."table"))
)
select 'foreign key to this table' as kind, format('%s.%s.%s', schema, "table", name) as object, reason
from judged
where reason is not null
order by object
