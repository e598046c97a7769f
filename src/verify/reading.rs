//! How the rows of a range are read, whichever side they are on.

use std::sync::Arc;

use tokio_postgres::error::SqlState;

use crate::connect::Session;
use crate::error::{Context, Kind, Result};
use crate::ledger::Counted;
use crate::pgcopy::Checksum;
use crate::plan::{OpenDimension, Range, Wire};
use crate::progress::Progress;
use crate::reader::chunk::copy_out_of;
use crate::reader::rows::{Row, RowScanner, refuse_other_count};

/// Who hashes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashing {
    /// We do, over their canonical form: the same on every server, but each row has to be sent.
    Here,
    /// The server, by `hash_record_extended()`, of PostgreSQL 14 and later: no row is sent, but checksums are only
    /// comparable on that server, and values that the type's `=` finds equal (0 and −0, 1.0 and 1.00) are.
    There,
}

/// How one table is read: through its root, never by its chunks.
pub struct Reading {
    /// The table, qualified and quoted.
    pub table: String,
    /// The columns, quoted; by name, so that their order is the same on both sides.
    pub columns: String,
    /// The primary dimension.
    pub primary: OpenDimension,
    /// Format and canonical form; a checksum is only equal over the same ones.
    pub wire: Wire,
    /// Who makes a checksum of the rows.
    pub hashing: Hashing,
    /// The schema of TimescaleDB's internal functions.
    pub functions: String,
    /// Counts the rows and bytes that were read.
    pub progress: Arc<Progress>,
}

/// The least and the greatest value of the primary dimension that rows have, in internal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Reading {
    /// Counts the rows of a range; only with their checksum are they read.
    ///
    /// Dropping the future in the middle of it leaves the statement running: cancel it, and drop the session.
    ///
    /// # Errors
    /// The kind of the session's side.
    pub async fn read(&self, session: &Session, range: Range, with_checksum: bool) -> Result<Counted> {
        match (with_checksum, self.hashing) {
            (true, Hashing::Here) => self.rows(session, range, &self.columns, &self.wire, true, |_| ()).await,
            (true, Hashing::There) => self.hash(session, range).await,
            (false, _) => self.count(session, range).await,
        }
    }

    /// Whether the server can hash the rows: it has the function, and each column's type has a hash function.
    ///
    /// # Errors
    /// The kind of the session's side. The session must be in no transaction: the answer may be an error of the server's.
    pub async fn is_hashable(&self, session: &Session) -> Result<bool> {
        let (columns, table) = (&self.columns, &self.table);
        let no_row = format!("(select) one left join (select {columns} from {table} where false) none on true");
        match session.rows(&format!("select {} from {no_row}", self.row_hash()), &[]).await {
            Ok(_) => Ok(true),
            Err(error) if error.sqlstate() == Some(&SqlState::UNDEFINED_FUNCTION) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn hash(&self, session: &Session, range: Range) -> Result<Counted> {
        let sql = format!("select count(*), coalesce(sum({}), 0)::text from {}", self.row_hash(), self.part(range));
        let row = session.row(&sql, &[]).await?;
        let (rows, sum) = (row.get::<_, i64>(0) as u64, row.get::<_, &str>(1));
        let sum: i128 = sum.parse().doing(Kind::Internal, || format!("{sum} is no sum of hashes"))?;
        self.progress.add_rows(rows, 0);
        Ok(Counted { rows, checksum: Some(Checksum { rows, sum: sum as u128 }) })
    }

    fn row_hash(&self) -> String {
        format!("pg_catalog.hash_record_extended(row({}), 0)", self.columns)
    }

    async fn count(&self, session: &Session, range: Range) -> Result<Counted> {
        let row = session.row(&format!("select count(*) from {}", self.part(range)), &[]).await?;
        let rows = row.get::<_, i64>(0) as u64;
        self.progress.add_rows(rows, 0);
        Ok(Counted { rows, checksum: None })
    }

    /// Reads `columns` of a range's rows in `wire`, and hands the rows on one by one.
    pub(super) async fn rows(
        &self,
        session: &Session,
        range: Range,
        columns: &str,
        wire: &Wire,
        with_checksum: bool,
        mut take: impl FnMut(&Row<'_>),
    ) -> Result<Counted> {
        let query = format!("select {columns} from {}", self.part(range));
        let mut stream = session.copy_out(&copy_out_of(&query, wire.format.name())).await?;
        let mut scanner = RowScanner::new(wire, with_checksum);
        let kind = session.side().kind();
        let doing = || format!("cannot read the rows of {}", self.table);
        while stream.fill().await? {
            while let Some(piece) = stream.piece()? {
                let mut rows = 0;
                let count = |row: &Row<'_>| {
                    rows += 1;
                    take(row);
                };
                scanner.push(piece, count).doing(kind, doing)?;
                self.progress.add_rows(rows, piece.len() as u64);
            }
        }
        let sent = stream.finish().map_err(|error| error.renamed(doing()))?;
        let counted = scanner.finish().doing(kind, doing)?;
        refuse_other_count(session.side(), &self.table, sent, counted.rows)?;
        Ok(counted)
    }

    /// Where the rows of a range lie; none where there are no rows. Cheap where an index begins with the dimension.
    pub(super) async fn extent(&self, session: &Session, range: Range) -> Result<Option<Extent>> {
        let row = session.row(&self.primary.extent_query(&self.part(range), &self.functions), &[]).await?;
        let ends: (Option<i64>, Option<i64>) = (row.get(0), row.get(1));
        Ok(ends.0.zip(ends.1).map(|(first, last)| Extent { first, last }))
    }

    fn part(&self, range: Range) -> String {
        format!("{}{}", self.table, self.primary.filter(range))
    }
}
