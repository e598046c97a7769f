//! What makes an import the same import when it is asked for again.

use serde::{Deserialize, Serialize};

use super::request::{Header, OnConflict, Request};
use crate::error::{Context, Kind, Result};
use crate::input::{Fingerprint, Input};
use crate::ledger::Job;

/// The part of a request that may not change between the runs of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    files: Vec<FileIdentity>,
    #[serde(flatten)]
    terms: Terms,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileIdentity {
    name: String,
    /// None for what can be read once only.
    contents: Option<Fingerprint>,
}

impl FileIdentity {
    /// Whether there is something in it that tells it from others.
    fn has_contents(&self) -> bool {
        self.contents.as_ref().is_some_and(|contents| contents.size_bytes > 0)
    }
}

/// Everything but the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Terms {
    columns: Vec<String>,
    dialect: [String; 4],
    header: Header,
    skip_lines: u64,
    encoding: Option<String>,
    on_conflict: OnConflict,
    conflict_key: Vec<String>,
    truncate: bool,
    limit: Option<u64>,
    import_id: Option<String>,
    /// How the table was made, in words.
    created: Option<String>,
}

/// What is decided where an identity is made.
pub(super) struct Decided<'a> {
    /// The columns.
    pub(super) columns: &'a [String],
    /// The key of conflicts.
    pub(super) conflict_key: &'a [String],
    /// How the table is made, in words.
    pub(super) created: Option<String>,
}

impl Identity {
    pub(super) fn new<'i>(
        request: &Request,
        inputs: impl Iterator<Item = &'i Input>,
        decided: &Decided<'_>,
    ) -> Identity {
        let file = |input: &Input| FileIdentity { name: input.name().to_string(), contents: input.fingerprint() };
        let dialect = &request.dialect;
        let character = |byte: u8| char::from(byte).to_string();
        let null = String::from_utf8_lossy(&dialect.null).into_owned();
        Identity {
            files: inputs.map(file).collect(),
            terms: Terms {
                columns: decided.columns.to_vec(),
                dialect: [character(dialect.delimiter), character(dialect.quote), character(dialect.escape), null],
                header: request.header,
                skip_lines: request.skip_lines,
                encoding: request.encoding.clone(),
                on_conflict: request.on_conflict,
                conflict_key: decided.conflict_key.to_vec(),
                truncate: request.truncate,
                limit: request.limit,
                import_id: request.import_id.clone(),
                created: decided.created.clone(),
            },
        }
    }

    pub(super) fn of(job: &Job) -> Result<Identity> {
        serde_json::from_value(job.request.clone()).doing(Kind::Internal, || {
            format!("cannot read what job {} was asked for, which hypercopy {} has written", job.id.0, job.version)
        })
    }

    /// The same contents read in the same way, whatever the files are called now.
    pub(super) fn is_same(&self, other: &Identity) -> bool {
        let contents = |identity: &Identity| -> Vec<Option<Fingerprint>> {
            identity.files.iter().map(|file| file.contents.clone()).collect()
        };
        self.terms == other.terms && contents(self) == contents(other)
    }

    /// Files of the same names, or some of the same files, for the same import.
    pub(super) fn is_akin(&self, other: &Identity) -> bool {
        let names =
            |identity: &Identity| -> Vec<String> { identity.files.iter().map(|file| file.name.clone()).collect() };
        let shares = self.files.iter().any(|file| file.has_contents() && other.files.contains(file));
        (names(self) == names(other) || shares) && self.terms.import_id == other.terms.import_id
    }

    /// The names of files that are the other's, too, and read in the same way.
    pub(super) fn shared_files(&self, other: &Identity) -> Vec<&str> {
        let is_shared = |file: &&FileIdentity| file.has_contents() && other.files.contains(file);
        match self.terms == other.terms {
            true => self.files.iter().filter(is_shared).map(|file| file.name.as_str()).collect(),
            false => Vec::new(),
        }
    }

    /// Whether the table is emptied first.
    pub(super) fn truncates(&self) -> bool {
        self.terms.truncate
    }

    /// In what `now` differs, in words.
    pub(super) fn differences(&self, now: &Identity) -> Vec<String> {
        let mut found = Vec::new();
        if self.files.len() != now.files.len() {
            found.push(format!("{} files then, {} now", self.files.len(), now.files.len()));
        }
        for (then, now) in self.files.iter().zip(&now.files).filter(|(then, now)| then.contents != now.contents) {
            let size = |file: &FileIdentity| file.contents.as_ref().map_or(0, |contents| contents.size_bytes);
            found.push(match size(then) == size(now) {
                true => format!("contents of {}", now.name),
                false => format!("contents of {} ({} bytes then, {} now)", now.name, size(then), size(now)),
            });
        }
        let terms = |identity: &Identity| serde_json::to_value(&identity.terms).unwrap_or_default();
        let (then, now) = (terms(self), terms(now));
        let keys = then.as_object().into_iter().flatten();
        found.extend(keys.filter(|(key, value)| now.get(key) != Some(value)).map(|(key, value)| {
            let is = now.get(key).cloned().unwrap_or_default();
            format!("{}: {value} then, {is} now", key.replace('_', " "))
        }));
        found
    }

    /// Whether some of it can be read once only.
    pub(super) fn has_streams(&self) -> bool {
        self.files.iter().any(|file| file.contents.is_none())
    }

    /// The files' names, for the ledger.
    pub(super) fn describe_files(&self) -> String {
        match self.files.as_slice() {
            [only] => only.name.clone(),
            [first, .., last] => format!("{} files, {} to {}", self.files.len(), first.name, last.name),
            [] => String::new(),
        }
    }

    pub(super) fn json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).doing(Kind::Internal, || "cannot write the job's identity")
    }
}
