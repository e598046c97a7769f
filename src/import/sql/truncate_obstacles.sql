-- Whether the role may empty a table, and another table that refers to it. $1: the table's oid.
select
    has_table_privilege($1::oid, 'truncate') as may_truncate,
    (
        select format('%I.%I', namespace.nspname, other.relname)
        from pg_catalog.pg_constraint reference
        join pg_catalog.pg_class other on other.oid = reference.conrelid
        join pg_catalog.pg_namespace namespace on namespace.oid = other.relnamespace
        where reference.contype = 'f' and reference.confrelid = $1 and reference.conrelid <> $1
        order by reference.conparentid, other.relname limit 1
    ) as referring
