//! The user that servers run as.
//!
//! PostgreSQL refuses to run as root, so root hands the server to an ordinary user.
//!
//! **Invariant:** whoever is not root stays who they are.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Context as _, Error, Kind, Result};

/// The ordinary users root may choose from, best first.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Who runs the server's processes and owns its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The user of this process.
    Own,
    /// Another user, because this process is root's.
    Other {
        /// The name in `/etc/passwd`.
        name: String,
        /// The user's id.
        uid: u32,
        /// The id of the user's main group.
        gid: u32,
    },
}

impl Account {
    /// The user that a server started by this process runs as.
    ///
    /// # Errors
    ///
    /// For root, when `/etc/passwd` has no ordinary user to run it.
    pub(super) fn for_server() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").doing(Kind::Internal, || "cannot read /etc/passwd")?;
        CANDIDATES.iter().find_map(|name| find_user(&passwd, name)).ok_or_else(|| {
            Error::internal("cannot run a server as root, and /etc/passwd has neither postgres nor nobody")
                .hint("Start hypercopy as an ordinary user.")
        })
    }

    /// A command that this user runs: away from our directory, without our PostgreSQL variables, speaking English.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        if let Account::Other { uid, gid, .. } = self {
            // The standard library drops root's supplementary groups when it changes the user.
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Gives a directory of ours to this user.
    pub(super) fn own(&self, directory: &Path) -> Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { name, uid, gid } => std::os::unix::fs::lchown(directory, Some(*uid), Some(*gid))
                .doing(Kind::Internal, || format!("cannot give directory {} to user {name}", directory.display())),
        }
    }

    /// Appends `text` to a file of this user, with this user's rights: root writing there itself would follow whatever
    /// links that user puts in its way.
    pub(super) fn append(&self, file: &Path, text: &str) -> Result<()> {
        let doing = || format!("cannot write file {}", file.display());
        let mut command = self.command("/bin/sh");
        command.args(["-c", "exec cat >>\"$1\"", "sh"]).arg(file).stdin(Stdio::piped());
        let mut child = command.spawn().doing(Kind::Internal, doing)?;
        let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(text.as_bytes()));
        let status = child.wait().doing(Kind::Internal, doing)?;
        written.doing(Kind::Internal, doing)?;
        if status.success() { Ok(()) } else { Err(Error::internal(doing())) }
    }

    /// What a failed command may have been missing, as a sentence; empty where it ran as ourselves.
    pub(super) fn hint(&self, places: &[&Path]) -> Option<String> {
        let Account::Other { name, .. } = self else { return None };
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        Some(format!("As root the server runs as user {name}, who must be able to reach {}.", places.join(" and ")))
    }
}

fn find_user(passwd: &str, wanted: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, gid, ..] = fields.as_slice() else { return None };
        let (uid, gid): (u32, u32) = (uid.parse().ok()?, gid.parse().ok()?);
        (*name == wanted && uid != 0).then(|| Account::Other { name: wanted.to_owned(), uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name_and_never_with_the_id_of_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104:a,,:/var:/bin/sh\nbroken\n";
        let found = Account::Other { name: "postgres".into(), uid: 101, gid: 104 };
        assert_eq!(find_user(passwd, "postgres"), Some(found));
        assert_eq!(find_user(passwd, "root"), None);
        assert_eq!(find_user(passwd, "nobody"), None);
    }
}
