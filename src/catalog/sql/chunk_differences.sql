-- Indexes that a chunk has and the hypertable has not. $1: the relation's oid, $2: oids of its chunks.
-- Text is not all that counts: in a chunk's index TimescaleDB folds constants of expressions and leaves out options of
-- operator classes, so one whose shape and name are as the hypertable's index would make them is taken for its copy.
with described as (
    select
        index.indrelid,
        class.relname as name,
        relation.relname as relation,
        regexp_replace(pg_get_indexdef(index.indexrelid), '^.*? USING ', '') as body,
        jsonb_build_array(class.relam::bigint, index.indisunique, index.indnkeyatts, index.indclass::text,
            index.indcollation::text, index.indoption::text, index.indpred is null, (
                select jsonb_agg(attribute.attname order by key.position)
                from unnest(index.indkey::int2[]) with ordinality key (number, position)
                left join pg_catalog.pg_attribute attribute
                    on attribute.attrelid = index.indrelid and attribute.attnum = key.number
            )) as shape
    from pg_catalog.pg_index index
    join pg_catalog.pg_class class on class.oid = index.indexrelid
    join pg_catalog.pg_class relation on relation.oid = index.indrelid
    where (index.indrelid = $1 or index.indrelid = any ($2::oid[]))
        -- A chunk has no constraints of its own.
        and not exists (
            select from pg_catalog.pg_constraint "constraint"
            where "constraint".conindid = index.indexrelid and "constraint".contype in ('p', 'u', 'x')
        )
)
select 'index of one chunk' as kind, format('%I on %s', index.name, index.indrelid::regclass) as object
from described index
where index.indrelid <> $1
    and not exists (
        select from described root
        where root.indrelid = $1
            and (root.body = index.body or root.shape = index.shape
                and starts_with(index.name, format('%s_%s', index.relation, left(root.name, 20))))
    )
order by object
