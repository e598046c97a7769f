-- 500 devices report every quarter of an hour. $1: how many rows in all.
insert into public.conditions (time, device, temperature, humidity, battery, readings)
select
    timestamptz '2026-01-01 00:00:00+00' + (n / 500) * interval '15 minutes',
    'device-' || n % 500,
    20 + 10 * sin(n / 5000.0) + random(),
    case when n % 97 = 0 then null when n % 9973 = 0 then 'NaN' else 50 + 20 * random() end,
    1 - (n % 1000) / 1000.0,
    array[n % 7, n % 11]
from generate_series(0, $1::bigint - 1) n
