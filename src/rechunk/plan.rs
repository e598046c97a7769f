//! What a job has decided, and what all its runs go on with.

use serde::{Deserialize, Serialize};

use super::request::Change;
use super::shape::Shape;
use crate::error::{Context, Kind, Result};
use crate::ident::{MAX_IDENT_BYTES, QualifiedName, truncate_ident};
use crate::ledger::Job;
use crate::pgcopy::TimeType;
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
    /// Names of the table's indexes, and of the constraints that are indexes.
    pub(super) index_names: Vec<String>,
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

    /// The old table behind the swap.
    pub(super) fn kept(&self) -> QualifiedName {
        self.kept_as(&self.table.name)
    }

    /// What something of the old table's is called behind the swap.
    pub(super) fn kept_as(&self, name: &str) -> QualifiedName {
        let suffix = format!("_old_{}", self.capture.job);
        let name = truncate_ident(name, MAX_IDENT_BYTES - suffix.len());
        QualifiedName::new(&self.table.schema, format!("{name}{suffix}"))
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
