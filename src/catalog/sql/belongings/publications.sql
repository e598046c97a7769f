-- Publications that name a table, with column list and row filter, which PostgreSQL has from 15 on. The filter is read
-- through a view, because a tree of an expression cannot be cast back from JSON. $1: the table's oid.
select
    publication.pubname as name,
    (
        select jsonb_agg(attribute.attname order by attribute.attnum)
        from jsonb_array_elements_text(nullif(to_jsonb(member) -> 'prattrs', 'null')) number
        join pg_catalog.pg_attribute attribute on attribute.attrelid = member.prrelid and attribute.attnum = number::int2
    ) as columns,
    (
        select to_jsonb(published) ->> 'rowfilter'
        from pg_catalog.pg_publication_tables published
        where published.pubname = publication.pubname
            and published.schemaname = namespace.nspname and published.tablename = relation.relname
    ) as filter
from pg_catalog.pg_publication_rel member
join pg_catalog.pg_publication publication on publication.oid = member.prpubid
join pg_catalog.pg_class relation on relation.oid = member.prrelid
join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
where member.prrelid = $1
order by publication.pubname
