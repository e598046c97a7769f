select chunk_id, dimension_slice_id from _timescaledb_catalog.chunk_constraint where dimension_slice_id is not null
