-- Storage parameters of a table and of its TOAST table, in the order in which they were set. $1: the table's oid.
select
    class.oid <> $1 as toast,
    split_part(option, '=', 1) as name,
    substr(option, strpos(option, '=') + 1) as value
from pg_catalog.pg_class relation
join pg_catalog.pg_class class on class.oid in (relation.oid, relation.reltoastrelid)
cross join lateral unnest(class.reloptions) with ordinality parameter (option, position)
where relation.oid = $1
order by toast, position
