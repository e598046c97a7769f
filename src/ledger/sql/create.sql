create schema if not exists _hypercopy;

create table if not exists _hypercopy.job (
    id bigint generated always as identity primary key,
    kind text not null,
    target_oid oid not null,
    target_name text not null,
    -- Whether this job made the target table: it may drop this one and no other.
    made_table boolean not null,
    source_system text not null,
    source_database text not null,
    source_name text not null,
    -- What makes it the same job when it is asked for again.
    request jsonb not null,
    -- What was decided when it began, and what every later run of it goes on with.
    plan jsonb not null,
    state text not null default 'copying' check (state in ('copying', 'finalizing', 'finished')),
    -- Which run of the engine may write: each takes the next number, and rows of an earlier one are refused.
    run integer not null default 1,
    report jsonb,
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
    -- Of the rows as they were read, with the format and the version of the canonical form before it.
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

-- The sessions of the run that is at work, or that was when its engine died.
create table if not exists _hypercopy.backend (
    job bigint not null references _hypercopy.job on delete cascade,
    side text not null check (side in ('source', 'target')),
    pid integer not null,
    started_at timestamptz not null,
    application_name text not null
);
