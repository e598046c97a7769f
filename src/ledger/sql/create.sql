create schema if not exists _hypercopy;

create table if not exists _hypercopy.job (
    id bigint generated always as identity primary key,
    kind text not null,
    -- The table that this job made: it may drop and empty this one and no other.
    target_oid oid not null,
    target_name text not null,
    source_system text not null,
    source_database text not null,
    source_name text not null,
    request jsonb not null,
    state text not null default 'copying' check (state in ('copying', 'finalizing', 'finished')),
    version text not null,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);

create table if not exists _hypercopy.task (
    job bigint not null references _hypercopy.job on delete cascade,
    task integer not null,
    -- [range_from, range_until) of the primary dimension in TimescaleDB's internal time; null is no bound.
    range_from bigint,
    range_until bigint,
    rows bigint,
    bytes bigint,
    checksum text,
    completed_at timestamptz,
    primary key (job, task)
);

create table if not exists _hypercopy.step (
    job bigint not null references _hypercopy.job on delete cascade,
    title text not null,
    completed_at timestamptz not null default clock_timestamp(),
    primary key (job, title)
);
