create table public.conditions (
    time timestamptz not null,
    device text not null,
    temperature double precision,
    humidity double precision,
    battery real,
    readings integer[],
    primary key (time, device)
);
select public.create_hypertable(
    'public.conditions', 'time', chunk_time_interval => interval '12 hours', create_default_indexes => false);
create index conditions_device_idx on public.conditions (device, time desc);
