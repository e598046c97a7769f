//! The questions about what objects have beside what makes them, and about the roles in that.

use std::collections::BTreeSet;

use crate::catalog::trappings::{Ground, Schema, Trappings};
use crate::connect::Session;
use crate::error::Result;

/// A row of a catalog: the oid of the catalog, and its own.
pub(super) type Address = (u32, u32);

/// The oid of `pg_class`, the same on every server.
pub(super) const PG_CLASS: u32 = 1259;

/// The oid of `pg_namespace`, the same on every server.
const PG_NAMESPACE: u32 = 2615;

/// What an object has; none where it is gone, or of a kind that has no owner of its own.
pub(super) async fn trappings(session: &Session, (class, oid): Address) -> Result<Option<Trappings>> {
    Ok(session.records(include_str!("../sql/trappings.sql"), &[&class, &oid]).await?.pop())
}

/// What these schemas have, as far as they are there and a user's.
pub(super) async fn schemas(session: &Session, names: &BTreeSet<&str>) -> Result<Vec<Schema>> {
    let mut found = Vec::new();
    for name in names {
        let oid = session.row("select to_regnamespace(quote_ident($1))::oid", &[name]).await?.get(0);
        if let Some(oid) = oid {
            let trappings = trappings(session, (PG_NAMESPACE, oid)).await?;
            found.extend(trappings.map(|trappings| Schema { name: name.to_string(), trappings }));
        }
    }
    Ok(found)
}

/// What the server has of these roles, for what shall be in a schema.
pub async fn ground(session: &Session, roles: &[String], schema: &str) -> Result<Ground> {
    Ok(Ground {
        schema: schema.to_string(),
        roles: session.records(include_str!("../sql/footing/roles.sql"), &[&roles, &schema]).await?,
        default_grants: session.records(include_str!("../sql/footing/default_grants.sql"), &[&schema]).await?,
    })
}

/// The same for each of several schemas.
pub async fn grounds(session: &Session, roles: &[String], schemas: &[String]) -> Result<Vec<Ground>> {
    let mut grounds = Vec::new();
    for schema in schemas {
        grounds.push(ground(session, roles, schema).await?);
    }
    Ok(grounds)
}
