//! What belongs to the table beside its columns, constraints and indexes: what of it can be had is decided with the plan, and it is put on
//! around the rows, each time as what is still missing.

use super::identity::JobPlan;
use super::look::Sides;
use super::planned::Planned;
use super::work::Work;
use crate::catalog::belongings::Belongings;
use crate::catalog::{Hypertable, NotCarried, read};
use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::plan::belongings::{self, Carried, Place};
use crate::plan::prerequisites::Provision;
use crate::plan::{Statement, TargetNames};
use crate::report::Report;
use crate::schema::{self, Finisher};

/// What of the source's belongings a new table can have.
pub(super) async fn carry(
    sides: &Sides,
    source: &Hypertable,
    names: &TargetNames,
    provision: &Provision,
    sequences: &[QualifiedName],
) -> Result<Carried> {
    let owner = match sides.place.may_own_for_source_owner {
        true => &source.table.owner,
        false => &sides.target_server.role,
    };
    let mut footing = read::footing(&sides.target, &source.belongings, &names.table, owner).await?;
    footing.foresee(&source.belongings, &provision.made, &provision.empty_tables);
    let beside_the_old = sides.is_one_database();
    let place = Place { names, server: &sides.target_server, footing: &footing, owner, sequences, beside_the_old };
    let mut carried = belongings::carry(source, sides.source.server(), &place);
    carried.leave_unvalidated(&provision.empty_tables, &names.table);
    Ok(carried)
}

/// In the transaction that makes the table, what TimescaleDB keeps on it among it; answers what the server refuses.
pub(super) async fn put_on_empty_table(target: &Target, planned: &Planned, strict: bool) -> Result<Vec<NotCarried>> {
    let mut refused = run_missing(target, planned, strict, belongings::on_empty_table).await?;
    refused.extend(run_possible(target, planned.early.clone(), strict).await?);
    Ok(refused)
}

/// In the transaction that finishes the job; answers what the server refuses.
pub(super) async fn close(target: &Target, planned: &Planned, strict: bool) -> Result<Vec<NotCarried>> {
    run_missing(target, planned, strict, belongings::closing).await
}

/// What would keep the table of a job from being dropped, in the caller's transaction.
pub(super) async fn release(target: &Target, plan: &JobPlan, table: &QualifiedName) -> Result<()> {
    let Some(wanted) = &plan.belongings else { return Ok(()) };
    for statement in belongings::release(&belongings_of(target, table).await?, wanted, table) {
        schema::run(target, &statement).await?;
    }
    Ok(())
}

/// Statements that make of what a table has what it shall have.
type Difference = fn(&Belongings, &Belongings, &QualifiedName) -> Vec<Statement>;

async fn run_missing(
    target: &Target,
    planned: &Planned,
    strict: bool,
    difference: Difference,
) -> Result<Vec<NotCarried>> {
    let Some(wanted) = &planned.belongings else { return Ok(Vec::new()) };
    let table = &planned.names.table;
    run_possible(target, difference(&belongings_of(target, table).await?, wanted, table), strict).await
}

async fn run_possible(target: &Target, statements: Vec<Statement>, strict: bool) -> Result<Vec<NotCarried>> {
    let mut refused = Vec::new();
    for statement in statements {
        let error = schema::run_if_possible(target, &statement).await?;
        refused.extend(error.map(|error| (statement, error)));
    }
    listed(refused, strict)
}

impl Work<'_> {
    /// What needs the indexes, before statistics are collected.
    pub(super) async fn put_on_behind_rows(&self, finisher: &Finisher<'_>, report: &mut Report) -> Result<()> {
        self.put_on(finisher, belongings::behind_rows, report).await
    }

    /// Foreign keys and what else is enforced without being proven; then what can be proven is.
    pub(super) async fn put_on_keys(&self, finisher: &Finisher<'_>, report: &mut Report) -> Result<()> {
        self.put_on(finisher, belongings::keys, report).await?;
        self.put_on(finisher, belongings::validation, report).await
    }

    /// What acts on rows or is told of them, when there is nothing left to be written.
    pub(super) async fn put_on_what_acts(&self, finisher: &Finisher<'_>, report: &mut Report) -> Result<()> {
        self.put_on(finisher, belongings::acting, report).await
    }

    async fn put_on(&self, finisher: &Finisher<'_>, difference: Difference, report: &mut Report) -> Result<()> {
        let Some(wanted) = &self.planned.belongings else { return Ok(()) };
        let table = &self.planned.names.table;
        let have = belongings_of(&self.sides.target, table).await?;
        let refused = finisher.run_what_is_possible(difference(&have, wanted, table)).await?;
        report.add_not_carried(listed(refused, self.request.strict)?);
        Ok(())
    }
}

async fn belongings_of(target: &Target, table: &QualifiedName) -> Result<Belongings> {
    let gone = || Error::new(Kind::Target, format!("{table} was dropped meanwhile"));
    let oid = read::resolve_exactly(target, table).await?.ok_or_else(gone)?;
    read::belongings(target, oid).await
}

/// What was refused, for the list of what is not carried; with `strict` the first of it is an error.
pub(super) fn listed(refused: Vec<(Statement, Error)>, strict: bool) -> Result<Vec<NotCarried>> {
    let mut found = Vec::new();
    for (statement, error) in refused {
        if strict {
            return Err(error
                .hint("Mend what the target lacks for it, or leave it out and have it listed: run without --strict."));
        }
        let lost = NotCarried::new("refused by the target", &statement.title).because(error.summary());
        found.push(lost.made_by(vec![statement.script()]));
    }
    Ok(found)
}
