-- Indexes that a chunk has and the hypertable has not. $1: the relation's oid, $2: oids of its chunks.
select 'index of one chunk' as kind, format('%I on %s', class.relname, index.indrelid::regclass) as object
from pg_catalog.pg_index index
join pg_catalog.pg_class class on class.oid = index.indexrelid
where index.indrelid = any ($2::oid[])
    and not exists (
        select from pg_catalog.pg_index root
        where root.indrelid = $1
            and regexp_replace(pg_get_indexdef(root.indexrelid), '^.*? USING ', '')
                = regexp_replace(pg_get_indexdef(index.indexrelid), '^.*? USING ', '')
    )
order by object
