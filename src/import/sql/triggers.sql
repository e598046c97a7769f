-- Whether a trigger of the users may take rows away before they are stored. $1: the table's oid.
select exists (
    select
    from pg_catalog.pg_trigger trigger
    join pg_catalog.pg_proc function on function.oid = trigger.tgfoid
    join pg_catalog.pg_namespace namespace on namespace.oid = function.pronamespace
    where trigger.tgrelid = $1 and not trigger.tgisinternal and trigger.tgenabled <> 'D'
        -- For each row (1), before (2), insert (4).
        and trigger.tgtype & 7 = 7
        and not starts_with(namespace.nspname, '_timescaledb')
)
