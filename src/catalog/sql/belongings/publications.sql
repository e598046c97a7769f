-- Publications that name a table or chunks of it, with column list and row filter, which PostgreSQL has from 15 on: those
-- of the table, or of a chunk where the table itself is no member. Whoever adds a hypertable without ONLY adds the chunks
-- that there are. The filter is read through a view, because a tree of an expression cannot be cast back from JSON.
-- And publications that publish it without naming it. $1: the table's oid.
with member as (
    select membership.prpubid, membership.prrelid, membership.prrelid = $1 as is_table, to_jsonb(membership) as record
    from pg_catalog.pg_publication_rel membership
    where membership.prrelid = $1
        or membership.prrelid in (select inhrelid from pg_catalog.pg_inherits where inhparent = $1)
), first as (
    select distinct on (prpubid) * from member order by prpubid, is_table desc, prrelid
)
select
    publication.pubname as name,
    first.is_table as "table",
    exists (select from member where member.prpubid = first.prpubid and not member.is_table) as chunks,
    (
        select jsonb_agg(attribute.attname order by attribute.attnum)
        from jsonb_array_elements_text(nullif(first.record -> 'prattrs', 'null')) number
        join pg_catalog.pg_attribute attribute on attribute.attrelid = first.prrelid and attribute.attnum = number::int2
    ) as columns,
    (
        select to_jsonb(published) ->> 'rowfilter'
        from pg_catalog.pg_publication_tables published
        where published.pubname = publication.pubname
            and published.schemaname = namespace.nspname and published.tablename = relation.relname
    ) as filter,
    null as scope
from first
join pg_catalog.pg_publication publication on publication.oid = first.prpubid
join pg_catalog.pg_class relation on relation.oid = first.prrelid
join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
union all
select publication.pubname, false, false, null, null, case when publication.puballtables then 'all_tables' else 'schema' end
from pg_catalog.pg_class relation
join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
join pg_catalog.pg_publication_tables published
    on published.schemaname = namespace.nspname and published.tablename = relation.relname
join pg_catalog.pg_publication publication on publication.pubname = published.pubname
where relation.oid = $1 and not exists (select from first where first.prpubid = publication.oid)
order by name
