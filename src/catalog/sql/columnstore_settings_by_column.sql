select jsonb_build_object(
    'segmentby', jsonb_agg(attname order by segmentby_column_index) filter (where segmentby_column_index is not null),
    'orderby', jsonb_agg(attname order by orderby_column_index) filter (where orderby_column_index is not null),
    'orderby_desc', jsonb_agg(not orderby_asc order by orderby_column_index) filter (where orderby_column_index is not null),
    'orderby_nullsfirst', jsonb_agg(orderby_nullsfirst order by orderby_column_index) filter (where orderby_column_index is not null)
) as row
from _timescaledb_catalog.hypertable_compression where hypertable_id = $1
