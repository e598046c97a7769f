-- What keeps foreign keys from being made because of the tables that they refer to: one row for each that cannot be.
-- $1: a JSON array of foreign keys.
with wanted as (
    select key ->> 'name' as name, key -> 'referenced' ->> 'schema' as schema, key -> 'referenced' ->> 'name' as "table",
        key -> 'referenced_columns' as columns
    from jsonb_array_elements($1::text::jsonb) key
)
select 'foreign key' as kind, wanted.name as object,
    case
        when class.oid is null then format('%I.%I is missing on the target', wanted.schema, wanted."table")
        when class.relkind not in ('r', 'p') then format('%I.%I is no table on the target', wanted.schema, wanted."table")
        when hypertable.id is not null then format('%I.%I is a hypertable on the target, and TimescaleDB has no foreign keys between two', wanted.schema, wanted."table")
        when not fits.may_refer then format('the role may not refer to %I.%I', wanted.schema, wanted."table")
        else format('%I.%I has no such columns on the target, or no key over them', wanted.schema, wanted."table")
    end as reason
from wanted
left join pg_catalog.pg_class class on class.oid = to_regclass(format('%I.%I', wanted.schema, wanted."table"))
left join _timescaledb_catalog.hypertable hypertable
    on hypertable.schema_name = wanted.schema and hypertable.table_name = wanted."table"
left join lateral (
    select array_agg(attribute.attnum order by attribute.attnum) as numbers,
        has_schema_privilege(class.relnamespace, 'usage') and bool_and(has_table_privilege(class.oid, 'references')
            or has_column_privilege(class.oid, attribute.attnum, 'references')) as may_refer
    from pg_catalog.pg_attribute attribute
    where attribute.attrelid = class.oid and not attribute.attisdropped
        and wanted.columns @> to_jsonb(array[attribute.attname])
) fits on true
where class.oid is null or class.relkind not in ('r', 'p') or hypertable.id is not null or fits.may_refer is distinct from true
    or not exists (
        select from pg_catalog.pg_index index
        where index.indrelid = class.oid and index.indisunique and index.indimmediate and index.indisvalid
            and index.indpred is null and index.indexprs is null
            and index.indnkeyatts = jsonb_array_length(wanted.columns)
            and fits.numbers = (
                select array_agg(number order by number)
                from unnest(index.indkey::int2[]) with ordinality key (number, position)
                where key.position <= index.indnkeyatts))
order by wanted.name
