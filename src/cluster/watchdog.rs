//! Runs the programs of a cluster so that none of them outlives its owner.
//!
//! The death of a process closes its pipes, also with `kill -9`; a shell waits for that (see `watchdog.sh`). It runs in
//! a process group of its own, so that Ctrl-C in a terminal reaches the owner first.
//!
//! **Invariant:** dropping a [`Watchdog`] ends its program and removes the directory, unless it was told to let go.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::account::Account;
use crate::error::{Context as _, Error, Kind, Result};

const SCRIPT: &str = include_str!("watchdog.sh");

/// A program that runs while this value lives.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    directory: PathBuf,
    log: PathBuf,
    /// The bytes that were in the log before.
    log_start: u64,
}

impl Watchdog {
    /// Starts `program` for the cluster in `directory`, which has no other running program; `log` gets what it writes.
    pub(super) fn start<A: AsRef<OsStr>>(
        account: &Account,
        directory: &Path,
        log: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        for stale in ["program.pid", "program.exit"] {
            // Missing at the first start; anything else shows below.
            let _ = fs::remove_file(directory.join(stale));
        }
        let log_start = fs::metadata(log).map_or(0, |metadata| metadata.len());
        let mut command = account.command("/bin/sh");
        // By the environment, so that lists of processes do not show the whole script.
        command.env("HYPERCOPY_WATCHDOG", SCRIPT).args(["-c", "eval \"$HYPERCOPY_WATCHDOG\"", "hypercopy-cluster"]);
        command.arg(directory).arg(log).arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let shell = command.spawn().doing(Kind::Internal, || format!("cannot start {}", program.display()))?;
        Ok(Watchdog { shell, directory: directory.to_owned(), log: log.to_owned(), log_start })
    }

    /// The program's process id, as soon as it is known.
    pub(super) fn program(&self) -> Option<i32> {
        number_in(&self.directory.join("program.pid"))
    }

    /// The program's exit status as a shell says it, when it has ended.
    pub(super) fn program_status(&mut self) -> Option<i32> {
        let ended = number_in(&self.directory.join("program.exit"));
        // The shell ends first only when it could not do its work.
        ended.or_else(|| self.shell.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1)))
    }

    /// What the program wrote to its log so far; empty when it cannot be read.
    pub(super) fn said(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_start))?;
            log.read_to_end(&mut text)
        });
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&text).into_owned())
    }

    /// Sends SIGQUIT to the program, which is an immediate shutdown to PostgreSQL.
    pub(super) fn quit(&mut self) -> Result<()> {
        if self.program_status().is_some() {
            return Ok(());
        }
        let Some(pid) = self.program().and_then(Pid::from_raw) else {
            return Err(Error::internal("cannot stop a program that has not started"));
        };
        match kill_process(pid, Signal::QUIT) {
            Err(error) if error != rustix::io::Errno::SRCH => {
                Err(error).doing(Kind::Internal, || format!("cannot signal process {}", pid.as_raw_nonzero()))
            }
            _ => Ok(()),
        }
    }

    /// Leaves the program running and the directory in place when this value is dropped.
    pub(super) fn let_go(&mut self) -> Result<()> {
        let told = self.shell.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(b"keep\n"));
        told.doing(Kind::Internal, || format!("cannot keep the cluster in {}", self.directory.display()))
    }

    /// Lets go of a program that has ended; another watchdog has the directory now.
    pub(super) fn hand_over(mut self) -> Result<()> {
        self.let_go()?;
        self.shell.wait().doing(Kind::Internal, || "cannot wait for a watchdog").map(drop)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if self.shell.stdin.take().is_some() {
            // Nobody is left to hear of an error; the worst that stays behind is a directory in $TMPDIR.
            let _ = self.shell.wait();
        }
    }
}

fn number_in(file: &Path) -> Option<i32> {
    // Without its end of line the number may be half written.
    fs::read_to_string(file).ok()?.strip_suffix('\n')?.parse().ok()
}
