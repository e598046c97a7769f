//! What shall be: the target's layout, the tasks, the DDL, and what is refused before anything is written.
//!
//! **Invariant:** pure. Everything in here is computed from plain data of `catalog` and a request; nothing connects,
//! reads a clock or prints.

pub mod aggregates;
pub mod belongings;
mod bucket;
mod capture;
mod compression;
mod ddl;
pub mod dependents;
mod dimension;
mod grants;
mod jobs;
mod layout;
mod losses;
mod materialized;
pub mod policies;
pub mod prerequisites;
mod range;
pub mod readers;
mod retarget;
mod task;
pub mod trappings;
mod types;
mod upkeep;
mod views;
mod wire;

pub(crate) use bucket::bucket_number;
pub use bucket::{BucketRun, Buckets};
pub use capture::{Capture, Guard, close, open};
pub use compression::{CompressRequest, Compressed, Filling, Moment};
pub use ddl::{Beside, Keys, Statement, TargetNames, post_data, pre_data, sequence_values};
pub(crate) use ddl::{column_list, integer_now, set_owner};
pub use dimension::{ClosedDimension, OpenDimension};
pub(crate) use layout::describe_interval;
pub use layout::{
    HashRequest, IntervalRequest, Layout, Partitioning, Point, chunk_slices_of, describe_dimension, primary_dimension,
};
pub use losses::{fit_version, losses};
pub use range::Range;
pub(crate) use range::type_name;
pub(crate) use retarget::tokens as sql_tokens;
pub use task::{Cell, Entry, Read, SourceChunk, Task, cut_tasks};
pub use types::compare_types;
pub use upkeep::{Upkeep, create_jobs, default_columnstore};
pub use wire::{Wire, archive_obstacle, binary_obstacle};
