-- Columns with chunk skipping; the table exists from TimescaleDB 2.16 on. $1: hypertable id.
select distinct column_name from _timescaledb_catalog.chunk_column_stats where hypertable_id = $1 order by column_name
