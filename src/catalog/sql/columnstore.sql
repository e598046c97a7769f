-- The settings of a hypertable's columnstore; no row where it is off. $1: hypertable id.
-- The text of columnstore_settings*.sql is put in: one row of jsonb, or none.
select
    case
        when jsonb_typeof(settings.row -> 'segmentby') = 'array'
            then jsonb_path_query_array(settings.row, '$.segmentby[*] ? (@ != null)')
        -- From 2.22 on a null lets the server choose when it compresses; before, it chose when it was switched on.
        when settings.row is not null and not settings.row ? 'index' then '[]'
    end as segment_by,
    (
        select jsonb_agg(jsonb_build_object(
            'column', "column".name,
            'descending', settings.row -> 'orderby_desc' -> ("column".position - 1)::int,
            'nulls_first', settings.row -> 'orderby_nullsfirst' -> ("column".position - 1)::int) order by "column".position)
        from jsonb_array_elements_text(
            case when jsonb_typeof(settings.row -> 'orderby') = 'array' then settings.row -> 'orderby' end
        ) with ordinality "column" (name, position)
    ) as order_by,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'kind', index ->> 'type',
            'columns', case when jsonb_typeof(index -> 'column') = 'array'
                then index -> 'column' else jsonb_build_array(index -> 'column') end)), '[]')
        from jsonb_array_elements(
            case when jsonb_typeof(settings.row -> 'index') = 'array' then settings.row -> 'index' end
        ) index
        -- The others follow from the order, or are the server's own choice.
        where index ->> 'source' = 'config'
    ) as sparse_indexes,
    (
        select (to_jsonb(dimension) ->> 'compress_interval_length')::bigint
        from _timescaledb_catalog.dimension where hypertable_id = $1 order by id limit 1
    ) as chunk_interval
from (select to_jsonb(hypertable) as row from _timescaledb_catalog.hypertable where id = $1) hypertable
left join ({settings}) settings on true
where coalesce((hypertable.row ->> 'compression_state')::int, 0) = 1
    or (coalesce((hypertable.row ->> 'status')::int, 0) & 4) = 4
