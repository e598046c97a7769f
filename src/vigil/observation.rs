//! What was seen of one backend.

use serde::Deserialize;

use crate::connect::{Session, Side};
use crate::error::Result;

/// A backend of the run, or one that waits behind it.
#[derive(Clone, Debug, Deserialize)]
pub struct Observation {
    /// Its process id.
    pub(super) pid: i32,
    /// Its name in `pg_stat_activity`.
    pub(super) application_name: String,
    /// Whose it is.
    pub(super) relation: Relation,
    /// It has nothing to do before we send or read more.
    pub(super) waits_for_us: bool,
    /// The one in whose way it is, or who is in its way.
    pub(super) other: Option<i32>,
    /// That one's name and what it does.
    pub(super) description: Option<String>,
    /// How long the wait for a lock has lasted.
    pub(super) seconds: f64,
}

/// Whose a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Relation {
    /// It belongs to the run.
    #[serde(rename = "ours")]
    Ours,
    /// It waits for a lock that the run holds.
    #[serde(rename = "behind us")]
    BehindUs,
}

impl Observation {
    /// The wait in words.
    pub(super) fn describe(&self, side: Side) -> String {
        let description = self.description.as_deref().filter(|text| !text.is_empty()).unwrap_or("not ours to see");
        let other = format!("pid {} ({description})", self.other.unwrap_or_default());
        let (side, seconds) = (side.name(), self.seconds as u64);
        match self.relation {
            Relation::Ours => {
                format!("{} waits for a lock held by {other} on the {side}, for {seconds} s", self.application_name)
            }
            Relation::BehindUs => format!("{other} waits behind our locks on the {side}, for {seconds} s"),
        }
    }
}

/// Asks what the backends `pids` do on the server of `session`.
pub(super) async fn observe(session: &Session, pids: &[i32]) -> Result<Vec<Observation>> {
    session.records(include_str!("observe.sql"), &[&pids]).await
}
