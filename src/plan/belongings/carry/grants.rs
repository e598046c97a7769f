//! Privileges on a table and its sequences, as far as who gave them and who has them are there.

use super::Carrier;
use crate::catalog::belongings::Grant;
use crate::catalog::trappings::GrantKind;
use crate::ident::QualifiedName;
use crate::plan::grants::{Allotment, Bearer, known};

/// Whose privileges are meant, and whose they become.
#[derive(Clone, Copy)]
pub(super) struct Owners<'a> {
    pub(super) old: &'a str,
    pub(super) new: &'a str,
}

impl Carrier<'_> {
    pub(super) fn grants(&mut self) -> Vec<Grant> {
        let owners = Owners { old: &self.source.belongings.table.owner, new: self.place.owner };
        let bearer = Bearer::table(&self.place.names.table, owners.new);
        self.carried(GrantKind::Relation, &self.source.belongings.grants, owners, &bearer)
    }

    pub(super) fn grants_of_sequence(
        &mut self,
        name: &QualifiedName,
        grants: &[Grant],
        owners: Owners<'_>,
    ) -> Vec<Grant> {
        self.carried(GrantKind::Sequence, grants, owners, &Bearer::sequence(name, owners.new))
    }

    fn carried(&mut self, kind: GrantKind, grants: &[Grant], owners: Owners<'_>, bearer: &Bearer<'_>) -> Vec<Grant> {
        let version = |number| known(kind, number);
        let (here, there) = (version(self.from.postgresql_number), version(self.place.server.postgresql_number));
        let ground = &self.place.footing.ground;
        let allotment = Allotment { ground, bearer, old_owner: owners.old, here: &here, there: &there };
        let (wanted, lost) = allotment.carry(grants);
        self.lost.extend(lost);
        wanted
    }

    pub(super) fn is_there(&self, role: &str) -> bool {
        role == self.place.owner || self.role(role).is_some()
    }
}
