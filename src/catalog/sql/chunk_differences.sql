-- What a chunk has and the hypertable has not: indexes, storage parameters, settings of columns, triggers, checks, another
-- tablespace, privileges, comments, policies, statistics. $1: the relation's oid, $2: oids of its chunks.
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
union all
select 'storage parameter of one chunk', format('%s on %s', coalesce(array_to_string(chunk.reloptions, ', '), 'none'), chunk.oid::regclass)
from pg_catalog.pg_class chunk
join pg_catalog.pg_class root on root.oid = $1
where chunk.oid = any ($2::oid[])
    and not (coalesce(chunk.reloptions, '{}') @> coalesce(root.reloptions, '{}')
        and coalesce(root.reloptions, '{}') @> coalesce(chunk.reloptions, '{}'))
union all
select 'setting of a column of one chunk', format('%I on %s', chunk.attname, chunk.attrelid::regclass)
from pg_catalog.pg_attribute chunk
join pg_catalog.pg_attribute root on root.attrelid = $1 and root.attname = chunk.attname and not root.attisdropped
cross join lateral (
    select array_agg(option order by option) filter (where option not like 'pg\_%') as options from unnest(chunk.attoptions) option
) of_chunk
cross join lateral (
    select array_agg(option order by option) filter (where option not like 'pg\_%') as options from unnest(root.attoptions) option
) of_root
where chunk.attrelid = any ($2::oid[]) and chunk.attnum > 0 and not chunk.attisdropped
    and (coalesce(chunk.attstattarget, -1) <> coalesce(root.attstattarget, -1) or of_chunk.options is distinct from of_root.options)
union all
select 'trigger of one chunk', format('%I on %s', chunk.tgname, chunk.tgrelid::regclass)
from pg_catalog.pg_trigger chunk
where chunk.tgrelid = any ($2::oid[]) and not chunk.tgisinternal
    and chunk.tgname not in ('ts_insert_blocker', 'ts_cagg_invalidation_trigger')
    and not exists (select from pg_catalog.pg_trigger root where root.tgrelid = $1 and root.tgname = chunk.tgname)
union all
-- Those of dimensions are numbered.
select 'check of one chunk', format('%I on %s', conname, conrelid::regclass)
from pg_catalog.pg_constraint
where conrelid = any ($2::oid[]) and contype = 'c' and coninhcount = 0 and conname !~ '^constraint_[0-9]+$'
union all
select 'tablespace of one chunk', format('%I of %s', tablespace.spcname, chunk.oid::regclass)
from pg_catalog.pg_class chunk
join pg_catalog.pg_tablespace tablespace on tablespace.oid = chunk.reltablespace
join pg_catalog.pg_class root on root.oid = $1
where chunk.oid = any ($2::oid[]) and chunk.reltablespace <> root.reltablespace
    and not exists (select from _timescaledb_catalog.tablespace attached where attached.tablespace_name = tablespace.spcname)
union all
select distinct 'grant of one chunk', format('%s to %s on %s', lower(item.privilege_type),
    coalesce(quote_ident(pg_get_userbyid(nullif(item.grantee, 0))), 'public'), chunk.oid::regclass)
from pg_catalog.pg_class chunk
cross join lateral aclexplode(chunk.relacl) item
join pg_catalog.pg_class root on root.oid = $1
where chunk.oid = any ($2::oid[]) and item.grantee <> chunk.relowner and not exists (
    select from aclexplode(root.relacl) of_root
    where of_root.grantee = item.grantee and of_root.privilege_type = item.privilege_type)
union all
select distinct 'grant of one chunk', format('on column %I of %s', chunk.attname, chunk.attrelid::regclass)
from pg_catalog.pg_attribute chunk
cross join lateral aclexplode(chunk.attacl) item
join pg_catalog.pg_attribute root on root.attrelid = $1 and root.attname = chunk.attname and not root.attisdropped
where chunk.attrelid = any ($2::oid[]) and not chunk.attisdropped and not exists (
    select from aclexplode(root.attacl) of_root
    where of_root.grantee = item.grantee and of_root.privilege_type = item.privilege_type)
union all
select 'comment of one chunk', format('on %s', pg_describe_object(classoid, objoid, objsubid))
from pg_catalog.pg_description
where classoid = 'pg_catalog.pg_class'::regclass and objoid = any ($2::oid[])
union all
select 'policy of one chunk', format('%I on %s', polname, polrelid::regclass)
from pg_catalog.pg_policy where polrelid = any ($2::oid[])
union all
select 'extended statistics of one chunk', format('%I on %s', stxname, stxrelid::regclass)
from pg_catalog.pg_statistic_ext where stxrelid = any ($2::oid[])
order by kind, object
