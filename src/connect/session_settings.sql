-- Pins what roles and databases may have set. $1: on for a session that only reads, off for one that writes.
-- Only settings that this server knows, and only where they differ: some may be set by superusers alone.
select set_config(pinned.name, pinned.value, false)
from (values
    -- No name is looked up by accident; all our names are qualified.
    ('search_path', ''),
    -- One spelling of every value, exact to the bit.
    ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'), ('extra_float_digits', '3'),
    ('bytea_output', 'hex'), ('xmlbinary', 'base64'), ('lc_monetary', 'C'),
    ('standard_conforming_strings', 'on'), ('array_nulls', 'on'), ('xmloption', 'content'), ('quote_all_identifiers', 'off'),
    -- Filtered rows are an error instead of a gap, and so is a damaged page.
    ('row_security', 'off'), ('zero_damaged_pages', 'off'),
    -- Triggers fire: the one that stops the rows that make chunks, and those that bring DDL to the chunks.
    ('session_replication_role', 'origin'), ('event_triggers', 'on'),
    -- A reader never waits for long: writers would queue behind us and behind whom we wait for (milliseconds).
    ('lock_timeout', case $1 when 'on' then '10000' else '0' end),
    -- Long statements are our business; the engine watches progress itself.
    ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'),
    -- A backend whose client is gone ends instead of running on (milliseconds).
    ('client_connection_check_interval', '2000'),
    ('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '6'),
    ('default_transaction_read_only', $1), ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'),
    -- Every chunk is read from its beginning, once, in heap order; the engine is what runs in parallel.
    ('synchronize_seqscans', 'off'), ('max_parallel_workers_per_gather', '0'), ('jit', 'off'),
    ('check_function_bodies', 'off'), ('client_min_messages', 'warning'),
    -- Each of these, set otherwise, makes rows of a hypertable disappear without an error (reference, section 0).
    ('timescaledb.restoring', 'off'), ('timescaledb.enable_transparent_decompression', 'on'),
    ('timescaledb.enable_columnarscan', 'on'), ('timescaledb.enable_optimizations', 'on'),
    ('timescaledb.enable_tiered_reads', 'on'), ('timescaledb.enable_deprecation_warnings', 'off'),
    -- Ranges are deleted and written again in compressed chunks, too, however many rows that are.
    ('timescaledb.max_tuples_decompressed_per_dml_transaction', '0')
) pinned (name, value)
join pg_catalog.pg_settings setting on setting.name = pinned.name
where setting.setting is distinct from pinned.value and setting.context in ('user', 'superuser')
    -- A reader has no use for triggers, and its role may not be allowed to set these.
    and not ($1 = 'on' and pinned.name in ('session_replication_role', 'event_triggers'))
