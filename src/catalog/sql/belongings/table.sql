-- What a table is told once. $1: its oid.
select
    pg_get_userbyid(relation.relowner) as owner,
    relation.relrowsecurity as row_security,
    relation.relforcerowsecurity as row_security_forced,
    -- Where the index is gone PostgreSQL goes on as if nothing were its identity.
    case relation.relreplident
        when 'd' then '"default"'::jsonb
        when 'f' then '"full"'
        when 'i' then coalesce((
            select jsonb_build_object('index', class.relname)
            from pg_catalog.pg_index index
            join pg_catalog.pg_class class on class.oid = index.indexrelid
            where index.indrelid = relation.oid and index.indisreplident
        ), '"nothing"')
        else '"nothing"'
    end as replica_identity,
    (
        select class.relname
        from pg_catalog.pg_index index
        join pg_catalog.pg_class class on class.oid = index.indexrelid
        where index.indrelid = relation.oid and index.indisclustered
    ) as clustered_index,
    tablespace.spcname as tablespace
from pg_catalog.pg_class relation
left join pg_catalog.pg_tablespace tablespace on tablespace.oid = relation.reltablespace
where relation.oid = $1
