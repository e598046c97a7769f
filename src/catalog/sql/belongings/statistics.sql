-- Extended statistics. `body` is cut out of the definition by the texts that must stand around it, and null where those
-- are not what stands there. $1: the table's oid.
select
    text.schema,
    text.name,
    case when starts_with(text.definition, text.head) and right(text.definition, length(text.tail)) = text.tail
        then substr(text.definition, length(text.head) + 1,
            length(text.definition) - length(text.head) - length(text.tail)) end as body,
    pg_get_userbyid(text.stxowner) as owner,
    -- Not set is -1 before PostgreSQL 17, and null from there on; before 13 there is none.
    nullif((text.record ->> 'stxstattarget')::int4, -1) as target,
    (
        select coalesce(jsonb_agg(distinct jsonb_build_object('type', object.type, 'identity', object.identity)), '[]')
        from pg_catalog.pg_depend dependency
        cross join lateral pg_identify_object(dependency.refclassid, dependency.refobjid, 0) object
        where dependency.classid = 'pg_catalog.pg_statistic_ext'::regclass and dependency.objid = text.oid
            and dependency.refobjid >= 16384 and dependency.refobjid <> $1
            and dependency.refclassid not in ('pg_catalog.pg_authid'::regclass, 'pg_catalog.pg_constraint'::regclass,
                'pg_catalog.pg_publication'::regclass)
    ) as needs,
    obj_description(text.oid, 'pg_statistic_ext') as comment
from (
    select
        statistics.oid,
        statistics.stxowner,
        to_jsonb(statistics) as record,
        namespace.nspname as schema,
        statistics.stxname as name,
        pg_get_statisticsobjdef(statistics.oid) as definition,
        format('CREATE STATISTICS %I.%I ', namespace.nspname, statistics.stxname) as head,
        format(' FROM %I.%I', relation_schema.nspname, relation.relname) as tail
    from pg_catalog.pg_statistic_ext statistics
    join pg_catalog.pg_namespace namespace on namespace.oid = statistics.stxnamespace
    join pg_catalog.pg_class relation on relation.oid = statistics.stxrelid
    join pg_catalog.pg_namespace relation_schema on relation_schema.oid = relation.relnamespace
    where statistics.stxrelid = $1
) text
order by text.schema, text.name
