select format('create aggregate %I.%I(%s) (%s)', schema.nspname, function.proname,
    coalesce(nullif(pg_get_function_arguments(function.oid), ''), '*'),
    concat_ws(', ',
        'sfunc = ' || aggregate.aggtransfn,
        'stype = ' || format_type(aggregate.aggtranstype, null),
        'sspace = ' || nullif(aggregate.aggtransspace, 0),
        'finalfunc = ' || nullif(aggregate.aggfinalfn, 0)::regproc,
        case when aggregate.aggfinalextra then 'finalfunc_extra' end,
        -- What is the default is said as well, but not where there is no final function.
        case when aggregate.aggfinalfn <> 0 then 'finalfunc_modify = ' || modify.final end,
        'combinefunc = ' || nullif(aggregate.aggcombinefn, 0)::regproc,
        'serialfunc = ' || nullif(aggregate.aggserialfn, 0)::regproc,
        'deserialfunc = ' || nullif(aggregate.aggdeserialfn, 0)::regproc,
        'msfunc = ' || nullif(aggregate.aggmtransfn, 0)::regproc,
        'minvfunc = ' || nullif(aggregate.aggminvtransfn, 0)::regproc,
        'mstype = ' || format_type(nullif(aggregate.aggmtranstype, 0), null),
        'msspace = ' || nullif(aggregate.aggmtransspace, 0),
        'mfinalfunc = ' || nullif(aggregate.aggmfinalfn, 0)::regproc,
        case when aggregate.aggmfinalextra then 'mfinalfunc_extra' end,
        case when aggregate.aggmfinalfn <> 0 then 'mfinalfunc_modify = ' || modify.moving end,
        'initcond = ' || quote_literal(aggregate.agginitval),
        'minitcond = ' || quote_literal(aggregate.aggminitval),
        (
            select format('sortop = operator(%I.%s)', operator_schema.nspname, operator.oprname)
            from pg_catalog.pg_operator operator
            join pg_catalog.pg_namespace operator_schema on operator_schema.oid = operator.oprnamespace
            where operator.oid = aggregate.aggsortop
        ),
        case function.proparallel when 's' then 'parallel = safe' when 'r' then 'parallel = restricted' end,
        case when aggregate.aggkind = 'h' then 'hypothetical' end))
from pg_catalog.pg_aggregate aggregate
join pg_catalog.pg_namespace schema on schema.oid = function.pronamespace
cross join lateral (
    select
        case aggregate.aggfinalmodify when 'r' then 'read_only' when 's' then 'shareable' else 'read_write' end as final,
        case aggregate.aggmfinalmodify when 'r' then 'read_only' when 's' then 'shareable' else 'read_write' end as moving
) modify
where aggregate.aggfnoid = function.oid
