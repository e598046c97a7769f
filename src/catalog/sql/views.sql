-- The views that read relations, directly or through each other, in the order in which they can be made; continuous
-- aggregates apart. $1: oids of the relations. The text of view_*.sql is put in, about `view` and the query that `query` has.
with recursive aggregate_view (oid) as (
    select class.oid
    from (select to_jsonb(aggregate) as row from _timescaledb_catalog.continuous_agg aggregate) aggregates
    cross join (values ('user_view'), ('partial_view'), ('direct_view')) kind (name)
    join pg_catalog.pg_namespace namespace on namespace.nspname = row ->> (kind.name || '_schema')
    join pg_catalog.pg_class class on class.relnamespace = namespace.oid and class.relname = row ->> (kind.name || '_name')
), reader (oid, depth) as (
    select unnest($1::oid[]), 0
    union
    select rewrite.ev_class, reader.depth + 1
    from reader
    join pg_catalog.pg_depend dependency on dependency.refclassid = 'pg_catalog.pg_class'::regclass
        and dependency.refobjid = reader.oid and dependency.classid = 'pg_catalog.pg_rewrite'::regclass
    join pg_catalog.pg_rewrite rewrite on rewrite.oid = dependency.objid and rewrite.rulename = '_RETURN'
    where rewrite.ev_class <> reader.oid and rewrite.ev_class not in (select oid from aggregate_view)
)
select
    view.oid::bigint as oid,
    namespace.nspname as schema,
    view.relname as name,
    view.relkind = 'm' as materialized,
    pg_total_relation_size(view.oid) as bytes,
    (
        select coalesce(jsonb_agg(jsonb_build_object('name', option.name, 'value', option.value) order by option.position), '[]')
        from pg_options_to_table(case when view.relkind = 'v' then view.reloptions end) with ordinality option (name, value, position)
    ) as options,
    rtrim(pg_get_viewdef(view.oid), ';') as definition,
    (select reads.* from (select view.oid) query, lateral ({reads}) reads) as reads,
    (select needs.* from (select view.oid) query, lateral ({needs}) needs) as needs,
    (
        select coalesce(jsonb_agg(jsonb_build_object('column', attribute.attname,
            'expression', pg_get_expr(expression.adbin, expression.adrelid)) order by attribute.attnum), '[]')
        from pg_catalog.pg_attrdef expression
        join pg_catalog.pg_attribute attribute
            on attribute.attrelid = expression.adrelid and attribute.attnum = expression.adnum
        where expression.adrelid = view.oid
    ) as defaults,
    (
        -- The definition is cut where the view's name must stand.
        select coalesce(jsonb_agg(jsonb_build_object('name', rule.rulename,
            'around', case when starts_with(text.definition, text.head || text.relation)
                then jsonb_build_array(text.head, substr(text.definition, length(text.head || text.relation) + 1)) end,
            'comment', obj_description(rule.oid, 'pg_rewrite')) order by rule.rulename), '[]')
        from pg_catalog.pg_rewrite rule
        cross join lateral (
            select
                rtrim(pg_get_ruledef(rule.oid), ';') as definition,
                format(E'CREATE RULE %I AS\n    ON %s TO ', rule.rulename, case rule.ev_type
                    when '2' then 'UPDATE' when '3' then 'INSERT' when '4' then 'DELETE' else 'SELECT' end) as head,
                format('%I.%I', namespace.nspname, view.relname) as relation
        ) text
        where rule.ev_class = view.oid and rule.rulename <> '_RETURN'
    ) as rules
from (select oid, max(depth) as depth from reader where depth > 0 group by oid) found
join pg_catalog.pg_class view on view.oid = found.oid
join pg_catalog.pg_namespace namespace on namespace.oid = view.relnamespace
order by found.depth, namespace.nspname, view.relname
