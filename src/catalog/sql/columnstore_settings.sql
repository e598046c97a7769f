select to_jsonb(settings) as row
from _timescaledb_catalog.compression_settings settings
join _timescaledb_catalog.hypertable on settings.relid = to_regclass(format('%I.%I', hypertable.schema_name, hypertable.table_name))
where hypertable.id = $1
