//! Continuous aggregates over the old table: others are made over the new one, and filled as far as those are.

use std::time::Instant;

use super::exchange::run;
use super::plan::JobPlan;
use super::prepare::lending_schema;
use super::work::Work;
use crate::catalog::{Aggregate, read};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ledger;
use crate::plan::aggregates;
use crate::schema;

impl Work<'_> {
    /// Sees to it that the new table has an aggregate for each that the old one has now, and that it is as far as that is.
    /// What of them is done already TimescaleDB knows, so this may be done again and again.
    ///
    /// # Errors
    /// [`Kind::Target`] where there are aggregates that nobody has asked to make again.
    pub(super) async fn follow_aggregates(&mut self) -> Result<()> {
        let (control, server) = (&self.ground.target, self.ground.server());
        let now = read::aggregates(control, server, self.ground.found.row.id).await?;
        match aggregates::before_swap(&self.plan.aggregates, &now) {
            Some(exchanges) => self.plan.aggregates = exchanges,
            None => self.make_aggregates(now).await?,
        }
        if self.plan.aggregates.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        self.finisher().run_alone(&aggregates::fill(&self.plan.aggregates, server)).await?;
        self.phase("aggregates", start);
        Ok(())
    }

    /// Makes them, empty, in the place of those that an earlier attempt has made.
    async fn make_aggregates(&mut self, now: Vec<Aggregate>) -> Result<()> {
        self.refuse_aggregates(&now)?;
        let (control, server, beside) = (&self.ground.target, self.ground.server(), self.plan.beside());
        self.supervision().progress.phase(format!("making {} continuous aggregates", now.len()));
        let owners: Vec<&str> = now.iter().map(|aggregate| aggregate.rights.owner.as_str()).collect();
        let make = aggregates::create(&now, &beside, &server.role);
        let make = lending_schema(&server.role, &beside.schema, &owners, make);
        let plan = schema::durably(control, async || {
            run(control, &aggregates::drop_new(&self.plan.aggregates)).await?;
            run(control, &make).await?;
            let gone = || Error::internal(format!("{beside} is no hypertable any more"));
            let id = read::hypertable_row(control, &beside).await?.ok_or_else(gone)?.id;
            let made = read::aggregates(control, server, id).await?;
            let aggregates = aggregates::pair(&now, &made, &beside, &self.claim.job.0.to_string())?;
            run(control, &aggregates::settle(&aggregates, server)).await?;
            let plan = JobPlan { aggregates, ..self.plan.clone() };
            ledger::set_plan(control, self.claim, &plan.json()?).await?;
            failpoint::hit("aggregates-before-commit");
            Ok(plan)
        })
        .await?;
        failpoint::hit("aggregates-after-commit");
        self.plan = plan;
        Ok(())
    }

    /// Whoever makes an aggregate while the job is under way has to be told of it.
    fn refuse_aggregates(&self, now: &[Aggregate]) -> Result<()> {
        let table = &self.plan.table;
        let refused = match (now.first(), aggregates::obstacles(now, &self.ground.server().role).first()) {
            (Some(first), _) if !self.plan.recreates_aggregates => {
                format!("continuous aggregate {} over {table} was made since the rechunk began", first.name)
            }
            (_, Some(obstacle)) => format!("an aggregate over {table} cannot be made again: {obstacle}"),
            _ => return Ok(()),
        };
        Err(Error::new(Kind::Target, refused).hint(format!(
            "Drop it, and run the same command again; or give this one up by \"hypercopy rechunk {table} --abort\", and begin anew with --recreate-continuous-aggregates."
        )))
    }

    /// Computes, behind the swap, what has changed since they were filled.
    pub(super) async fn refresh_aggregates(&self) -> Result<()> {
        let statements = aggregates::refresh(&self.plan.aggregates, self.ground.server());
        let start = Instant::now();
        let statements = self.to_do(statements).await?;
        if !statements.is_empty() {
            self.finisher().run_alone(&statements).await?;
            self.phase("refresh aggregates", start);
        }
        Ok(())
    }
}
