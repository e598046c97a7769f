//! Stories on real servers: what a user does, and what must be true afterwards.
//!
//! One set of throwaway clusters serves the whole run; every story has databases of its own. `HYPERCOPY_CLUSTER` puts a
//! server of yours in their place; stories that need TimescaleDB's community edition run only there.

mod append;
mod belongings;
mod beside;
mod command_line;
mod community;
mod compressed_changes;
mod concurrency;
mod csv_dialect;
mod definitions;
mod dependents;
mod dimensions;
mod documents;
mod edges;
mod encode;
mod faults;
mod harness;
mod import_bad;
mod import_community;
mod import_conflicts;
mod import_create;
mod import_faults;
mod import_jobs;
mod import_rejects;
mod import_tables;
mod import_values;
mod imports;
mod jobs;
mod layouts;
mod passwords;
mod proxy;
mod random;
mod rechunk_aggregates;
mod rechunk_ddl;
mod rechunk_kills;
mod rechunk_layouts;
mod rechunk_locks;
mod rechunk_policies;
mod rechunk_refusals;
mod rechunk_reports;
mod rechunk_swap;
mod rechunk_writers;
mod rechunks;
mod refusals;
mod repair;
mod resume;
mod scale;
mod sessions;
mod tls;
mod traps;
mod twins;
mod verify;
mod writers;
