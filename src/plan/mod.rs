//! What shall be: the target's layout, the tasks, the DDL, and what is refused before anything is written.
//!
//! **Invariant:** pure. Everything in here is computed from plain data of `catalog` and a request; nothing connects,
//! reads a clock or prints.

mod ddl;
mod dimension;
mod layout;
mod range;
mod task;
mod types;
mod wire;

pub use ddl::{Statement, TargetNames, post_data, pre_data, sequence_values};
pub(crate) use ddl::{column_list, integer_now_function};
pub use dimension::{ClosedDimension, OpenDimension};
pub use layout::{HashRequest, IntervalRequest, Layout, Partitioning, describe_dimension, primary_dimension};
pub use range::Range;
pub(crate) use range::type_name;
pub use task::{Cell, Entry, Read, SourceChunk, Task, cut_tasks};
pub use types::{MissingTypes, missing_types};
pub use wire::{Wire, binary_obstacle};
