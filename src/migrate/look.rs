//! The first look: both servers, the table, the place for the new one. Refuses what cannot work before anything else
//! is asked.

use super::request::Request;
use super::role;
use super::source::Source;
use crate::catalog::{Server, TargetPlace, read};
use crate::connect::Target;
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::look::{Axis, open_target, refuse_ledger, refuse_schema, refuse_temporary};
use crate::report::EndReport;

/// What is known of both sides before the snapshot.
pub(super) struct Sides {
    pub(super) source: Source,
    pub(super) target: Target,
    pub(super) target_server: Server,
    pub(super) target_table: QualifiedName,
    pub(super) place: TargetPlace,
}

impl Sides {
    pub(super) async fn look(request: &Request) -> Result<Sides> {
        let source = Source::look(&request.origin).await?;
        let name = &source.table().name;
        let target_table = match &request.target_table {
            Some(text) => QualifiedName::parse(text, &name.schema)?,
            None => name.clone(),
        };
        let (target, target_server) = open_target(&request.target, &role(request, &target_table)).await?;
        let place = read::target_place(&target, &target_table, &source.table().owner).await?;
        let sides = Sides { source, target, target_server, target_table, place };
        sides.refuse_same_table()?;
        sides.refuse_place()?;
        Ok(sides)
    }

    pub(super) fn is_one_database(&self) -> bool {
        self.source.is_in(&self.target_server)
    }

    fn refuse_same_table(&self) -> Result<()> {
        if self.is_one_database() && self.target_table == self.source.table().name {
            return Err(Error::refused(format!("source and target are the same table, {}", self.target_table))
                .hint("Name another table with --as, or another target."));
        }
        Ok(())
    }

    fn refuse_place(&self) -> Result<()> {
        let (table, role) = (&self.target_table, &self.target_server.role);
        if self.place.existing.is_some() {
            return self.refuse_tools();
        }
        if !self.place.schema_exists && !self.target_server.may_create_schema {
            return Err(Error::refused(format!(
                "schema {} is missing on the target, and role {role} may not create it",
                display_ident(&table.schema)
            ))
            .hint("Create it there, or grant CREATE on the database to the role."));
        }
        if self.place.schema_exists {
            refuse_schema(&self.target_server, &self.place, table)?;
        }
        self.refuse_tools()
    }

    /// What the job needs on the target beside the table.
    fn refuse_tools(&self) -> Result<()> {
        refuse_ledger(&self.target_server, &self.place)?;
        refuse_temporary(&self.target_server, &self.place, "making chunks")
    }

    /// Whoever reads values of the primary dimension.
    pub(super) async fn axis(&self) -> Result<Axis<'_>> {
        self.source.axis(&self.target, &self.target_server).await
    }

    pub(super) fn target_report(&self) -> EndReport {
        EndReport::new(self.target.endpoint(), &self.target_table, &self.target_server)
    }
}
