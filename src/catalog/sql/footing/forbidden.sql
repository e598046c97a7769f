-- Which of the given objects are there, and cannot be used: functions by the role, or by the owner to be, who makes the
-- copies of triggers on chunks; schemas in which the role may not create anything. $1: a JSON array of {type, identity},
-- $2: the owner.
select wanted.type, wanted.identity
from jsonb_to_recordset($1::text::jsonb) wanted (type text, identity text)
left join pg_catalog.pg_proc function
    on wanted.type in ('function', 'procedure', 'aggregate') and function.oid = to_regprocedure(wanted.identity)
where exists (
        select from pg_catalog.pg_roles role
        where role.rolname in (current_user, $2)
            and not (has_function_privilege(role.oid, function.oid, 'execute')
                and has_schema_privilege(role.oid, function.pronamespace, 'usage')))
    or (wanted.type = 'schema' and not has_schema_privilege(to_regnamespace(wanted.identity)::oid, 'create'))
