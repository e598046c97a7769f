-- Triggers of users: not TimescaleDB's own, and not those by which a job of ours captures changes or guards a table.
-- `around` is the definition before and after the table's name, which is found by the text that must stand before it,
-- and null where that is not what stands there. $1: the table's oid.
select
    text.name,
    case when starts_with(text.definition, text.head || text.relation || ' ')
        then jsonb_build_array(text.head, substr(text.definition, length(text.head || text.relation) + 1)) end as around,
    text.enabled,
    (
        select coalesce(jsonb_agg(distinct jsonb_build_object('type', object.type, 'identity', object.identity)), '[]')
        from pg_catalog.pg_depend dependency
        cross join lateral pg_identify_object(dependency.refclassid, dependency.refobjid, 0) object
        where dependency.classid = 'pg_catalog.pg_trigger'::regclass and dependency.objid = text.oid
            and dependency.refobjid >= 16384 and dependency.refobjid <> $1
            and dependency.refclassid not in ('pg_catalog.pg_authid'::regclass, 'pg_catalog.pg_constraint'::regclass,
                'pg_catalog.pg_publication'::regclass)
    ) as needs,
    text.comment
from (
    select
        trigger.oid,
        trigger.tgname as name,
        trigger.tgenabled as enabled,
        obj_description(trigger.oid, 'pg_trigger') as comment,
        pg_get_triggerdef(trigger.oid) as definition,
        format('%I.%I', namespace.nspname, relation.relname) as relation,
        format('CREATE %sTRIGGER %I %s %s ON ',
            case when trigger.tgconstraint <> 0 then 'CONSTRAINT ' end,
            trigger.tgname,
            case when trigger.tgtype & 2 <> 0 then 'BEFORE' when trigger.tgtype & 64 <> 0 then 'INSTEAD OF' else 'AFTER' end,
            concat_ws(' OR ',
                case when trigger.tgtype & 4 <> 0 then 'INSERT' end,
                case when trigger.tgtype & 8 <> 0 then 'DELETE' end,
                case when trigger.tgtype & 16 <> 0 then 'UPDATE' || coalesce(' OF ' || (
                    select string_agg(quote_ident(attribute.attname), ', ' order by key.position)
                    from unnest(trigger.tgattr::int2[]) with ordinality key (number, position)
                    join pg_catalog.pg_attribute attribute
                        on attribute.attrelid = trigger.tgrelid and attribute.attnum = key.number
                ), '') end,
                case when trigger.tgtype & 32 <> 0 then 'TRUNCATE' end)) as head
    from pg_catalog.pg_trigger trigger
    join pg_catalog.pg_proc function on function.oid = trigger.tgfoid
    join pg_catalog.pg_namespace function_schema on function_schema.oid = function.pronamespace
    join pg_catalog.pg_class relation on relation.oid = trigger.tgrelid
    join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
    where trigger.tgrelid = $1 and not trigger.tgisinternal
        and trigger.tgname not in ('ts_insert_blocker', 'ts_cagg_invalidation_trigger')
        and not (trigger.tgname like 'hypercopy\_%' and function_schema.nspname like '\_hypercopy\_%')
) text
order by text.name
