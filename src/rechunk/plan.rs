//! What a job has decided, and what all its runs go on with.

use serde::{Deserialize, Serialize};

use super::request::Change;
use super::shape::Shape;
use super::surroundings::Surroundings;
use crate::catalog::Policies;
use crate::error::{Context, Kind, Result};
use crate::ident::QualifiedName;
use crate::ledger::Job;
use crate::pgcopy::TimeType;
use crate::plan::aggregates::Exchange;
use crate::plan::belongings::Away;
use crate::plan::{Capture, Guard, Layout, Statement};
use crate::verify::Mode;

/// What a job has decided when it began, and what became of it at the swap.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobPlan {
    /// The table's name, before the swap and behind it.
    pub(super) table: QualifiedName,
    /// The old table, wherever it has gone.
    pub(super) old_oid: u32,
    /// The new layout.
    pub(super) layout: Layout,
    /// How changes are noted.
    pub(super) capture: Capture,
    /// Constraints that are made behind the rows.
    pub(super) constraints: Vec<Statement>,
    /// Indexes that are made behind the rows.
    pub(super) indexes: Vec<Statement>,
    /// What the new table was made from.
    pub(super) shape: Shape,
    /// The table's policies as they were before they were paused; without jobs where they run again.
    pub(super) policies: Policies,
    /// Whether continuous aggregates are made again.
    #[serde(default)]
    pub(super) recreates_aggregates: bool,
    /// Those that are over the old table, and those over the new one, from when they were made.
    #[serde(default)]
    pub(super) aggregates: Vec<Exchange>,
    /// How the two tables were compared before the swap; none where nobody has.
    pub(super) verified: Option<Mode>,
    /// What the swap has done; none before it.
    pub(super) swapped: Option<Swapped>,
}

/// What the swap has done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Swapped {
    /// Keeps older transactions from writing.
    pub(super) guard: Guard,
    /// What the old table is called, and what is its own.
    pub(super) away: Away,
    /// What hung on the table that left, for what follows the swap; of the new table, where that was undone.
    pub(super) surroundings: Surroundings,
    /// The old table is being dropped: there is no way back.
    pub(super) is_dropping: bool,
}

impl JobPlan {
    pub(crate) fn of(job: &Job) -> Result<JobPlan> {
        serde_json::from_value(job.plan.clone()).doing(Kind::Internal, || {
            format!("cannot read what job {} has decided, which hypercopy {} has written", job.id.0, job.version)
        })
    }

    pub(super) fn json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).doing(Kind::Internal, || "cannot write the job's plan")
    }

    /// The new table before the swap, and again when that was undone.
    pub(super) fn beside(&self) -> QualifiedName {
        QualifiedName::new(&self.capture.schema, &self.table.name)
    }

    /// No jobs: they run again.
    pub(super) fn no_policies(&self) -> Policies {
        Policies { jobs: Vec::new(), ..self.policies.clone() }
    }

    /// The ledger's ranges are of this type.
    pub(crate) fn time_type(&self) -> TimeType {
        self.layout.primary.time_type
    }
}

/// What was asked for, as the ledger keeps it.
pub(super) fn request_json(change: &Change) -> Result<serde_json::Value> {
    serde_json::to_value(change).doing(Kind::Internal, || "cannot write what was asked for")
}
