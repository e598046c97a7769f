-- Which of the given objects are not there. $1: a JSON array of {type, identity} as pg_identify_object() names them.
select wanted.type, wanted.identity
from jsonb_to_recordset($1::text::jsonb) wanted (type text, identity text)
where case
    when wanted.type in ('function', 'procedure', 'aggregate') then to_regprocedure(wanted.identity) is null
    when wanted.type in ('table', 'view', 'materialized view', 'foreign table', 'sequence')
        then to_regclass(wanted.identity) is null
    when wanted.type = 'type' then to_regtype(wanted.identity) is null
    when wanted.type = 'operator' then to_regoperator(wanted.identity) is null
    when wanted.type = 'collation' then to_regcollation(wanted.identity) is null
    when wanted.type = 'schema' then to_regnamespace(wanted.identity) is null
    else false end
