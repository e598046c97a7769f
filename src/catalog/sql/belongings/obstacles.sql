-- What keeps the belongings of a table from being put onto another one: what is bound to this very table, and rights
-- that the current role lacks. $1: the table's oid.
with relation as (
    select class.*, quote_ident(namespace.nspname) || '.' || quote_ident(class.relname) as display
    from pg_catalog.pg_class class
    join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
    where class.oid = $1
), users_trigger as (
    select trigger.tgname, trigger.tgfoid, function.pronamespace
    from pg_catalog.pg_trigger trigger
    join pg_catalog.pg_proc function on function.oid = trigger.tgfoid
    where trigger.tgrelid = $1 and not trigger.tgisinternal
        and trigger.tgname not in ('ts_insert_blocker', 'ts_cagg_invalidation_trigger')
), key_to_relation as (
    select "constraint".oid, "constraint".conname, "constraint".conrelid, class.relkind, class.relowner
    from pg_catalog.pg_constraint "constraint"
    join pg_catalog.pg_class class on class.oid = "constraint".conrelid
    where "constraint".confrelid = $1 and "constraint".contype = 'f' and "constraint".conparentid = 0
        and "constraint".conrelid <> $1
), membership (privilege) as (
    -- To give something to a role, or to give it in its name, PostgreSQL 16 asks for more than being a member of it.
    select case when current_setting('server_version_num')::int4 >= 160000 then 'set' else 'member' end
), granted (object, items) as (
    select relation.display, relation.relacl from relation
    union all
    select relation.display || '.' || quote_ident(attname), attacl
    from relation, pg_catalog.pg_attribute where attrelid = $1 and not attisdropped
    union all
    select class.oid::regclass::text, class.relacl
    from pg_catalog.pg_depend dependency
    join pg_catalog.pg_class class on class.oid = dependency.objid and class.relkind = 'S'
    where dependency.classid = 'pg_catalog.pg_class'::regclass and dependency.refclassid = 'pg_catalog.pg_class'::regclass
        and dependency.refobjid = $1 and dependency.deptype = 'i'
), chunk as (
    -- Chunks are named by their names until TimescaleDB 2.28, and by their oid from there on.
    select coalesce((record ->> 'relid')::regclass,
        to_regclass(format('%I.%I', record ->> 'schema_name', record ->> 'table_name')))::oid as oid
    from (select to_jsonb(chunk) as record from _timescaledb_catalog.chunk) catalog
)
select 'owner' as kind, pg_get_userbyid(relowner)::text as object,
    'the role is not a member of it' as reason
from relation where not pg_has_role(relowner, 'usage')
union all
select 'rule', quote_ident(rulename), 'hypertables have no rules'
from pg_catalog.pg_rewrite where ev_class = $1
union all
select 'inheritance', inhparent::regclass::text, 'the table inherits from it'
from pg_catalog.pg_inherits where inhrelid = $1
union all
select 'inheritance', inhrelid::regclass::text, 'it inherits from the table and is no chunk'
from pg_catalog.pg_inherits where inhparent = $1 and inhrelid not in (select oid from chunk where oid is not null)
union all
select 'extension', quote_ident(extension.extname), 'the table belongs to it'
from pg_catalog.pg_depend membership
join pg_catalog.pg_extension extension on extension.oid = membership.refobjid
where membership.classid = 'pg_catalog.pg_class'::regclass and membership.objid = $1 and membership.deptype = 'e'
    and membership.refclassid = 'pg_catalog.pg_extension'::regclass
union all
select 'type', reloftype::regtype::text, 'the table is made of it'
from relation where reloftype <> 0
union all
select 'access method', method.amname, 'the new table would be a heap'
from relation join pg_catalog.pg_am method on method.oid = relation.relam where method.amname <> 'heap'
union all
select 'row type', pg_describe_object(dependency.classid, dependency.objid, dependency.objsubid),
    'it uses the type that the table''s rows have, which is the old table''s'
from relation
join pg_catalog.pg_type type on type.oid = relation.reltype
join pg_catalog.pg_depend dependency
    on dependency.refclassid = 'pg_catalog.pg_type'::regclass and dependency.refobjid in (type.oid, type.typarray)
where dependency.deptype <> 'i' and dependency.classid <> 'pg_catalog.pg_rewrite'::regclass
union all
select 'security label', format('%s: %s', provider, label), 'it is not carried'
from pg_catalog.pg_seclabel where classoid = 'pg_catalog.pg_class'::regclass and objoid = $1
union all
select 'trigger', quote_ident(users_trigger.tgname),
    format('%s may not execute %s', pg_get_userbyid(role.oid), users_trigger.tgfoid::regprocedure)
from users_trigger, relation
-- The trigger is made by the current role, and its copies on the chunks by the owner.
join pg_catalog.pg_roles role on role.rolname = current_user or role.oid = relation.relowner
where not has_function_privilege(role.oid, users_trigger.tgfoid, 'execute')
    or not has_schema_privilege(role.oid, users_trigger.pronamespace, 'usage')
union all
select 'policy', quote_ident(policy.polname), 'the role may not use the schema of ' || function.oid::regprocedure
from pg_catalog.pg_policy policy
join pg_catalog.pg_depend dependency
    on dependency.classid = 'pg_catalog.pg_policy'::regclass and dependency.objid = policy.oid
    and dependency.refclassid = 'pg_catalog.pg_proc'::regclass
join pg_catalog.pg_proc function on function.oid = dependency.refobjid
where policy.polrelid = $1 and not has_schema_privilege(function.pronamespace, 'usage')
union all
select distinct 'grant', granted.object, format('%s gave it, and the role cannot act as it', pg_get_userbyid(item.grantor))
from granted, relation, membership, aclexplode(granted.items) item
where item.grantor <> relation.relowner and not pg_has_role(item.grantor, membership.privilege)
union all
select 'statistics', format('%I.%I', namespace.nspname, statistics.stxname),
    format('they belong to %s, and the role is not a member of it', pg_get_userbyid(statistics.stxowner))
from pg_catalog.pg_statistic_ext statistics
join pg_catalog.pg_namespace namespace on namespace.oid = statistics.stxnamespace
where statistics.stxrelid = $1 and not pg_has_role(statistics.stxowner, 'usage')
union all
select 'statistics', format('%I.%I', namespace.nspname, statistics.stxname),
    'the role may not create anything in their schema'
from pg_catalog.pg_statistic_ext statistics
join pg_catalog.pg_namespace namespace on namespace.oid = statistics.stxnamespace
where statistics.stxrelid = $1 and not has_schema_privilege(namespace.oid, 'create')
union all
select 'tablespace', quote_ident(tablespace.spcname), 'the role may not create anything in it'
from pg_catalog.pg_tablespace tablespace
where not has_tablespace_privilege(tablespace.oid, 'create')
    and tablespace.oid in (
        select reltablespace from pg_catalog.pg_class
        where oid = $1 or oid in (select indexrelid from pg_catalog.pg_index where indrelid = $1))
union all
select 'foreign key', quote_ident(conname), 'the role may not refer to ' || confrelid::regclass
from pg_catalog.pg_constraint
where conrelid = $1 and contype = 'f' and conparentid = 0
    and not has_table_privilege(confrelid, 'references') and exists (
        select from unnest(confkey) number where not has_column_privilege(confrelid, number, 'references'))
union all
select 'foreign key to this table', format('%I on %s', conname, conrelid::regclass),
    format('the table belongs to %s, and the role is not a member of it', pg_get_userbyid(relowner))
from key_to_relation where not pg_has_role(relowner, 'usage')
union all
select 'foreign key to this table', format('%I on %s', conname, conrelid::regclass),
    'on a partitioned table it cannot be added without checking all rows'
from key_to_relation
where relkind = 'p' and current_setting('server_version_num')::int4 < 180000
union all
select 'publication', quote_ident(publication.pubname),
    format('it belongs to %s, and the role is not a member of it', pg_get_userbyid(publication.pubowner))
from pg_catalog.pg_publication_rel member
join pg_catalog.pg_publication publication on publication.oid = member.prpubid
where member.prrelid = $1 and not pg_has_role(publication.pubowner, 'usage')
union all
select 'publication', quote_ident(publication.pubname), 'it publishes all tables: the rows would be sent again from the new one'
from pg_catalog.pg_publication publication where publication.puballtables
order by kind, object, reason
