-- Sequences that a relation's columns draw from: its identities, those it owns, those its defaults name.
-- Values are read now, not in the snapshot: never below what a row of the snapshot used. The text of used_sequences.sql is
-- put in. $1: the relation's oid.
select
    class.oid::bigint as oid,
    namespace.nspname as schema,
    class.relname as name,
    max(used."column") as "column",
    bool_or(used.identity) as identity,
    format_type(sequence.seqtypid, null) as type,
    sequence.seqstart as start,
    sequence.seqincrement as increment,
    sequence.seqmin as minimum,
    sequence.seqmax as maximum,
    sequence.seqcache as cache,
    sequence.seqcycle as cycle,
    has_sequence_privilege(class.oid, 'select') or has_sequence_privilege(class.oid, 'usage') as readable,
    case when has_sequence_privilege(class.oid, 'select') or has_sequence_privilege(class.oid, 'usage')
        then pg_sequence_last_value(class.oid) end as last_value
from ({used}) used
join pg_catalog.pg_sequence sequence on sequence.seqrelid = used.sequence
join pg_catalog.pg_class class on class.oid = used.sequence
join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
group by class.oid, namespace.nspname, class.relname, sequence.seqrelid, sequence.seqtypid, sequence.seqstart,
    sequence.seqincrement, sequence.seqmin, sequence.seqmax, sequence.seqcache, sequence.seqcycle
order by class.oid
