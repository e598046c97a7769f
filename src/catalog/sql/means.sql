-- What this server has of what policies of a hypertable need. $1: tablespaces, $2: roles, $3: procedures, as a JSON array of
-- schema and name.
select
    (
        select coalesce(jsonb_agg(spcname), '[]') from pg_catalog.pg_tablespace
        where spcname = any ($1::text[]) and has_tablespace_privilege(oid, 'create')
    ) as tablespaces,
    to_regclass('_timescaledb_catalog.chunk_column_stats') is not null as chunk_skipping,
    exists (
        select from pg_catalog.pg_attribute
        where attrelid = to_regclass('_timescaledb_catalog.compression_settings') and attname = 'index' and not attisdropped
    ) as sparse_indexes,
    (
        select coalesce(jsonb_agg(rolname), '[]') from pg_catalog.pg_roles
        where rolname = any ($2::text[]) and rolcanlogin and pg_has_role(oid, 'usage')
    ) as roles,
    (
        select coalesce(jsonb_agg(wanted.name), '[]') from jsonb_array_elements($3::text::jsonb) wanted (name)
        where exists (
            select from pg_catalog.pg_proc
            join pg_catalog.pg_namespace on pg_namespace.oid = pg_proc.pronamespace
            where pg_namespace.nspname = wanted.name ->> 'schema' and pg_proc.proname = wanted.name ->> 'name')
    ) as procedures
