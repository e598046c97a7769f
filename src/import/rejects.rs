//! The records that were left out, as files: their text, and the reasons beside it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::connect::Session;
use crate::error::{Context, Kind, Result};
use crate::ledger::{self, JobId, Reject};

/// One line of the file of reasons.
#[derive(Serialize)]
struct Reason<'a> {
    file: &'a str,
    line: u64,
    byte: u64,
    column: Option<&'a str>,
    reason: &'a str,
    sqlstate: &'a str,
}

/// Where the reasons stand.
pub(super) fn reasons_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

/// Writes all records that a job has left out to `path`, behind what stands before the records of the files, so that they can be
/// imported in the same way, and one JSON object for each to `path.json`. Both are complete or as they were before.
pub(super) async fn write(session: &Session, job: JobId, path: &Path, preamble: &[u8], files: &[String]) -> Result<()> {
    let reasons_path = reasons_path(path);
    let (mut records, mut reasons) = (Draft::create(path)?, Draft::create(&reasons_path)?);
    let mut after = (0, -1);
    loop {
        let rejects = ledger::rejects(session, job, after).await?;
        let Some(last) = rejects.last() else { break };
        if after == (0, -1) {
            records.write(preamble)?;
        }
        after = (last.file, last.byte as i64);
        for reject in &rejects {
            records.line(&reject.record)?;
            reasons.line(&reason(reject, files)?)?;
        }
    }
    records.publish(path)?;
    reasons.publish(&reasons_path)
}

fn reason(reject: &Reject, files: &[String]) -> Result<Vec<u8>> {
    let reason = Reason {
        file: files.get(reject.file as usize - 1).map_or("", String::as_str),
        line: reject.line,
        byte: reject.byte,
        column: reject.column.as_deref(),
        reason: &reject.reason,
        sqlstate: &reject.sqlstate,
    };
    serde_json::to_vec(&reason).doing(Kind::Internal, || "cannot write a reason as JSON")
}

/// A file under another name, until it is whole.
struct Draft {
    writer: BufWriter<File>,
    path: PathBuf,
}

impl Draft {
    fn create(path: &Path) -> Result<Draft> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = PathBuf::from(name);
        let file = File::create(&path).doing(Kind::Internal, || format!("cannot write to {}", path.display()))?;
        Ok(Draft { writer: BufWriter::new(file), path })
    }

    fn line(&mut self, text: &[u8]) -> Result<()> {
        self.write(text)?;
        self.write(b"\n")
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        self.writer.write_all(text).doing(Kind::Internal, || format!("cannot write to {}", self.path.display()))
    }

    fn publish(mut self, path: &Path) -> Result<()> {
        let renamed = self.writer.flush().and_then(|()| std::fs::rename(&self.path, path));
        renamed.doing(Kind::Internal, || format!("cannot write {}", path.display()))
    }
}

impl Drop for Draft {
    /// What was published is not there any more under this name.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
