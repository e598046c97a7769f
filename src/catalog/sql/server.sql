-- What the server is and what it can do. Refers to nothing of TimescaleDB's, which may be missing.
select
    current_setting('server_version') as postgresql,
    current_setting('server_version_num')::int as postgresql_number,
    extension.extversion as timescaledb,
    extension_schema.nspname as timescaledb_schema,
    current_setting('timescaledb.license', true) as license,
    case when to_regnamespace('_timescaledb_functions') is null
        then '_timescaledb_internal' else '_timescaledb_functions' end as functions_schema,
    to_regclass('_timescaledb_catalog.chunk_constraint') is not null as has_chunk_constraint,
    pg_encoding_to_char(database.encoding) as encoding,
    database.datname as database,
    database.oid::bigint as database_oid,
    case when has_function_privilege('pg_catalog.pg_control_system()', 'execute')
        then (select system_identifier::text from pg_control_system())
        else format('%s:%s %s', inet_server_addr(), inet_server_port(), pg_postmaster_start_time()) end as system,
    pg_is_in_recovery() as in_recovery,
    current_setting('max_locks_per_transaction')::bigint
        * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) as lock_table,
    current_user::text as role,
    has_database_privilege(current_database(), 'create') as may_create_schema
from pg_catalog.pg_database database
left join pg_catalog.pg_extension extension on extension.extname = 'timescaledb'
left join pg_catalog.pg_namespace extension_schema on extension_schema.oid = extension.extnamespace
where database.datname = current_database()
