-- In which of the given tablespaces the role may make something. $1: names.
select spcname::text from pg_catalog.pg_tablespace
where spcname = any ($1::text[]) and has_tablespace_privilege(oid, 'create')
order by spcname
