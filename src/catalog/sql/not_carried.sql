-- What a hypertable has beside what is carried: one row each, for the plan and the report.
-- $1: the relation's oid.
with relation as (
    select class.* from pg_catalog.pg_class class where class.oid = $1
)
select 'foreign key' as kind, format('%I %s', conname, pg_get_constraintdef(oid)) as object
from pg_catalog.pg_constraint where conrelid = $1 and contype = 'f' and conparentid = 0
union all
select 'foreign key to this table', format('%I on %s', conname, conrelid::regclass)
from pg_catalog.pg_constraint where confrelid = $1 and contype = 'f' and conparentid = 0 and conrelid <> $1
union all
select 'trigger', tgname from pg_catalog.pg_trigger
where tgrelid = $1 and not tgisinternal and tgname not in ('ts_insert_blocker', 'ts_cagg_invalidation_trigger')
union all
select 'row-level security', 'enabled' from relation where relrowsecurity
union all
select 'row-level security', 'forced' from relation where relforcerowsecurity
union all
select 'policy', polname from pg_catalog.pg_policy where polrelid = $1
union all
select 'grants', array_to_string(relacl, ', ') from relation
where relacl is not null and relacl <> acldefault('r', relowner)
union all
select 'column grants', attname || ' ' || array_to_string(attacl, ', ')
from pg_catalog.pg_attribute where attrelid = $1 and attacl is not null and not attisdropped
union all
select 'comment', coalesce('column ' || attribute.attname, 'on the table')
from pg_catalog.pg_description description
left join pg_catalog.pg_attribute attribute
    on attribute.attrelid = description.objoid and attribute.attnum = nullif(description.objsubid, 0)
where description.classoid = 'pg_catalog.pg_class'::regclass and description.objoid = $1
union all
select 'comment', 'constraint ' || "constraint".conname
from pg_catalog.pg_description description
join pg_catalog.pg_constraint "constraint" on "constraint".oid = description.objoid
where description.classoid = 'pg_catalog.pg_constraint'::regclass and "constraint".conrelid = $1
union all
select 'comment', 'index ' || class.relname
from pg_catalog.pg_description description
join pg_catalog.pg_index index on index.indexrelid = description.objoid
join pg_catalog.pg_class class on class.oid = index.indexrelid
where description.classoid = 'pg_catalog.pg_class'::regclass and index.indrelid = $1
union all
select 'extended statistics', stxname from pg_catalog.pg_statistic_ext where stxrelid = $1
union all
select 'storage parameter', option from relation, unnest(reloptions) option
union all
select 'storage parameter', 'toast.' || option
from relation join pg_catalog.pg_class toast on toast.oid = relation.reltoastrelid, unnest(toast.reloptions) option
union all
select 'statistics target', format('column %I %s', attname, attstattarget)
from pg_catalog.pg_attribute
where attrelid = $1 and attnum > 0 and not attisdropped and coalesce(attstattarget, -1) >= 0
union all
-- What the server stamps onto every column by itself (pg_attver of PostgreSQL 15.20) is nobody's wish.
select 'column option', format('column %I %s', attname, string_agg(option, ', '))
from pg_catalog.pg_attribute, unnest(attoptions) option
where attrelid = $1 and not attisdropped and option not like 'pg\_%' group by attname
union all
select 'statistics target', format('index %I', class.relname)
from pg_catalog.pg_index index
join pg_catalog.pg_class class on class.oid = index.indexrelid
where index.indrelid = $1 and exists (
    select from pg_catalog.pg_attribute attribute
    where attribute.attrelid = index.indexrelid and coalesce(attribute.attstattarget, -1) >= 0)
union all
select 'replica identity', case relreplident when 'f' then 'full' when 'n' then 'nothing' else 'index' end
from relation where relreplident <> 'd'
union all
select 'clustered index', class.relname
from pg_catalog.pg_index index
join pg_catalog.pg_class class on class.oid = index.indexrelid
where index.indrelid = $1 and index.indisclustered
union all
select 'tablespace', format('%s on %s', tablespace.spcname, class.relname)
from pg_catalog.pg_class class
join pg_catalog.pg_tablespace tablespace on tablespace.oid = class.reltablespace
where class.oid = $1 or class.oid in (select indexrelid from pg_catalog.pg_index where indrelid = $1)
union all
select 'publication', publication.pubname
from pg_catalog.pg_publication_rel member
join pg_catalog.pg_publication publication on publication.oid = member.prpubid
where member.prrelid = $1
union all
select 'security label', label from pg_catalog.pg_seclabel
where classoid = 'pg_catalog.pg_class'::regclass and objoid = $1
order by kind, object
