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
    state text not null default 'copying' check (
        state in ('prepared', 'copying', 'finalizing', 'ready', 'swapped', 'finished')),
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

-- Ranges of an import's files whose rows are in.
create table if not exists _hypercopy.block (
    job bigint not null references _hypercopy.job on delete cascade,
    -- Its number in the order of the command line, from 1.
    file integer not null,
    -- [byte_from, byte_until) of the decompressed contents, and the line that begins behind it, from 1.
    byte_from bigint not null,
    byte_until bigint not null,
    line_until bigint not null,
    -- Of these bytes.
    hash text not null,
    records bigint not null,
    -- What became of the records: rows that were stored, that met an equal key, that a trigger took away.
    rows bigint not null,
    skipped bigint not null,
    suppressed bigint not null,
    completed_at timestamptz not null default clock_timestamp(),
    primary key (job, file, byte_from)
);

-- Records of an import that were left out.
create table if not exists _hypercopy.reject (
    job bigint not null references _hypercopy.job on delete cascade,
    file integer not null,
    byte bigint not null,
    line bigint not null,
    record bytea not null,
    column_name text,
    reason text not null,
    sqlstate text not null,
    primary key (job, file, byte)
);

-- What a rechunk has read of the old table's chunks: the file that a chunk had when its rows in a range were copied.
create table if not exists _hypercopy.chunk (
    job bigint not null references _hypercopy.job on delete cascade,
    relation oid not null,
    -- As in the table of tasks.
    range_from bigint,
    range_until bigint,
    filenode oid not null,
    compressed boolean not null,
    -- The chunk's slice of the primary dimension.
    slice_start bigint not null,
    slice_end bigint not null
);

-- The sessions of the run that is at work, or that was when its engine died.
create table if not exists _hypercopy.backend (
    job bigint not null references _hypercopy.job on delete cascade,
    side text not null check (side in ('source', 'target')),
    pid integer not null,
    started_at timestamptz not null,
    application_name text not null
);
