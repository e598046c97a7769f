-- Tablespaces that are attached to a hypertable, in the order in which chunks take turns. $1: hypertable id.
select tablespace_name from _timescaledb_catalog.tablespace where hypertable_id = $1 order by id
