-- A sequence by its name; shaped as sequences.sql shapes it. $1: schema, $2: name.
select
    namespace.nspname as schema,
    class.relname as name,
    null::text as column,
    false as identity,
    format_type(sequence.seqtypid, null) as type,
    sequence.seqstart as start,
    sequence.seqincrement as increment,
    sequence.seqmin as minimum,
    sequence.seqmax as maximum,
    sequence.seqcache as cache,
    sequence.seqcycle as cycle,
    false as readable,
    null::bigint as last_value
from pg_catalog.pg_sequence sequence
join pg_catalog.pg_class class on class.oid = sequence.seqrelid
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
where namespace.nspname = $1 and class.relname = $2
