//! A place with PostgreSQL programs and TimescaleDB.
//!
//! **Invariant:** looking for one never changes the machine outside the cache directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::{self, Release};
use crate::error::{Error, Kind, Result};

const WAYS_OUT: &str = "Set HYPERCOPY_CLUSTER to the conninfo of a server that has TimescaleDB (for example one started \
    with docker run -e POSTGRES_PASSWORD=… -p 5432:5432 timescale/timescaledb:latest-pg17), or install PostgreSQL with \
    TimescaleDB on this machine, or use a Debian-like x86-64 or arm64 system that has apt-get, dpkg-deb and the package \
    debian-archive-keyring and reaches a Debian mirror.";

/// PostgreSQL programs with TimescaleDB that can run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    programs: PathBuf,
    description: String,
}

impl Installation {
    pub(super) fn new(programs: PathBuf, description: String) -> Self {
        Installation { programs, description }
    }

    /// An installed PostgreSQL that has TimescaleDB, else Debian's packages for trixie; the latter are downloaded at
    /// the first use (about 50 MB) and reused from then on.
    ///
    /// # Errors
    ///
    /// Says what was tried; the hint lists the ways to get a server. Never answers with something that cannot start.
    pub fn any() -> Result<Self> {
        if let Some(installation) = Self::installed() {
            return Ok(installation);
        }
        let failed = |cause: Error| {
            let message = "no TimescaleDB found: no installed PostgreSQL has it, and Debian's packages cannot be used";
            let hint = cause.hint_text().map_or_else(|| WAYS_OUT.to_owned(), |hint| format!("{hint} Or: {WAYS_OUT}"));
            Error::new(Kind::Internal, message).hint(hint).caused_by(cause)
        };
        match Self::debian(Release::Trixie).map_err(failed)? {
            Some(installation) => Ok(installation),
            None => Err(failed(Error::internal(format!("the mirror offers no {}", Release::Trixie.package())))),
        }
    }

    /// The newest PostgreSQL installed on this machine that has TimescaleDB; `None` where there is none.
    pub fn installed() -> Option<Self> {
        let mut candidates = program_directories();
        candidates.sort_by_key(|programs| std::cmp::Reverse(major_version(programs)));
        candidates.into_iter().find_map(|programs| {
            let control = control_file(&programs)?;
            let description = describe("installed", &programs, &control)?;
            Some(Installation { programs, description })
        })
    }

    /// Debian's packages of `release`, unpacked into the cache directory (`$HYPERCOPY_CACHE`, else for root
    /// `/var/cache/hypercopy`, else `$XDG_CACHE_HOME/hypercopy`, else `$HOME/.cache/hypercopy`); reused when they are
    /// there already. `None` when the mirror does not offer the package now, which happens to sid.
    ///
    /// # Errors
    ///
    /// When the programs apt-get or dpkg-deb, the Debian archive keyring or the mirror cannot be used, or when the
    /// unpacked server does not run. Two processes that ask at once do the work once.
    pub fn debian(release: Release) -> Result<Option<Self>> {
        packages::installation(release)
    }

    /// The directory with `postgres`, `initdb`, `psql` and the other programs; an absolute path.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The path of one program, as `program("psql")`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Where it comes from, with versions: `Debian trixie packages: PostgreSQL 17.11, TimescaleDB 2.19.3`.
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// `<origin>: PostgreSQL <version>, TimescaleDB <version>`; `None` when the server does not run or says nothing.
pub(super) fn describe(origin: &str, programs: &Path, control: &Path) -> Option<String> {
    let postgres = postgres_version(&output(&programs.join("postgres"), "--version")?)?;
    let timescaledb = default_version(&fs::read_to_string(control).ok()?)?;
    Some(format!("{origin}: PostgreSQL {postgres}, TimescaleDB {timescaledb}"))
}

fn program_directories() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/usr/local/pgsql/bin")];
    found.extend(children("/usr/lib/postgresql").map(|version| version.join("bin")));
    found.extend(children("/usr").filter(|path| file_name(path).starts_with("pgsql-")).map(|path| path.join("bin")));
    found.extend(output(Path::new("pg_config"), "--bindir").map(PathBuf::from));
    found.retain(|programs| programs.join("postgres").is_file() && programs.join("initdb").is_file());
    found
}

fn children(directory: &str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The major version of the server in a directory; 0 where it does not run.
fn major_version(programs: &Path) -> u32 {
    let version = output(&programs.join("postgres"), "--version").and_then(|text| postgres_version(&text));
    version.map_or(0, |version| leading_number(&version))
}

fn leading_number(text: &str) -> u32 {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().unwrap_or(0)
}

fn control_file(programs: &Path) -> Option<PathBuf> {
    let control = share_directory(programs)?.join("extension/timescaledb.control");
    control.is_file().then_some(control)
}

fn share_directory(programs: &Path) -> Option<PathBuf> {
    // Some distributions keep pg_config in a development package; then the two usual layouts have to do.
    let asked = output(&programs.join("pg_config"), "--sharedir").map(PathBuf::from);
    let home = programs.parent()?;
    let usual = [home.join("share"), Path::new("/usr/share/postgresql").join(file_name(home))];
    asked.or_else(|| usual.into_iter().find(|share| share.join("extension").is_dir()))
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).env("LC_ALL", "C").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The version out of `postgres (PostgreSQL) 17.11 (Debian 17.11-0+deb13u1)`.
fn postgres_version(text: &str) -> Option<String> {
    text.split_once("(PostgreSQL) ")?.1.split_whitespace().next().map(str::to_owned)
}

/// The version out of `default_version = '2.19.3'` in an extension's control file.
fn default_version(control: &str) -> Option<String> {
    let value = control.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "default_version").then_some(value)
    })?;
    value.split('\'').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_server_and_the_control_file_say() {
        let said = "postgres (PostgreSQL) 17.11 (Debian 17.11-0+deb13u1)";
        assert_eq!(postgres_version(said).as_deref(), Some("17.11"));
        assert_eq!(postgres_version("postgres (PostgreSQL) 19devel").as_deref(), Some("19devel"));
        assert_eq!(leading_number("19devel"), 19);
        let control = "# timescaledb\ncomment = 'x'\ndefault_version = '2.19.3'\nmodule_pathname = 'y'\n";
        assert_eq!(default_version(control).as_deref(), Some("2.19.3"));
    }
}
