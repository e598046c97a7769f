//! One server on a fresh data directory.
//!
//! **Invariant:** when a [`Cluster`] is gone, so are its processes and its directory, unless it was kept on purpose.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::account::Account;
use super::installation::Installation;
use super::watchdog::Watchdog;
use crate::error::{Context as _, Error, Kind, Result};

/// How often files that another process writes are looked at; what a start can be late by.
const POLL: Duration = Duration::from_millis(20);
/// A server that takes longer to start or stop than this is taken for broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a start is tried again when somebody else took the port first.
const PORT_ATTEMPTS: usize = 5;
/// The kernel's limit for a socket's path is 108 bytes, of which PostgreSQL needs a name of up to 15.
const SOCKET_DIRECTORY_BYTES: usize = 90;
/// The lines of the log that an error quotes.
const QUOTED_LINES: usize = 15;

/// Numbers the directories of one process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a cluster is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Part of the directory's name, for people who look into `$TMPDIR`.
    pub name: String,
    /// Whether commits reach the disk before they are answered. Without it the server survives its own crash, but not
    /// the machine's.
    pub fsync: bool,
    /// Names and values for `postgresql.conf`, unquoted; the last of equal names counts, also over our own.
    pub parameters: Vec<(String, String)>,
}

impl Settings {
    /// A durable cluster with the default configuration.
    pub fn new(name: impl Into<String>) -> Self {
        Settings { name: name.into(), fsync: true, parameters: Vec::new() }
    }

    /// Whether commits wait for the disk.
    #[must_use]
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Adds one line of `postgresql.conf`; the value is quoted here.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }
}

/// A running TimescaleDB server of our own. The superuser is `postgres`, without a password, on 127.0.0.1 alone: any
/// user of this machine can connect.
///
/// Dropping it shuts the server down at once (SIGQUIT) and removes its directory; so does the death of this process,
/// however it happens.
#[derive(Debug)]
pub struct Cluster {
    // Fields are dropped in this order: the server ends before its directory is removed.
    watchdog: Watchdog,
    directory: Directory,
    account: Account,
    installation: Installation,
    port: u16,
}

impl Cluster {
    /// Makes a data directory below `$TMPDIR` and starts a server on it; returns when it accepts connections, within a
    /// few seconds. TimescaleDB is preloaded; `create extension` is the caller's.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made, `initdb` fails, or the server ends or is silent for 60 s; what they said last
    /// is the cause. Nothing is left behind then.
    pub fn start(installation: &Installation, settings: Settings) -> Result<Self> {
        let account = Account::for_server()?;
        let directory = Directory::create(&settings.name, &account)?;
        let mut watchdog = initialize(installation, &account, &directory)?;
        account.append(&directory.data().join("postgresql.conf"), &configuration(&settings, &directory.path))?;
        let port = launch_on_free_port(&mut watchdog, installation, &account, &directory)?;
        Ok(Cluster { watchdog, directory, account, installation: installation.clone(), port })
    }

    /// The connection string for one database, in keyword form, without a password.
    pub fn conninfo(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={}", self.port, quote_conninfo(database))
    }

    /// The TCP port on 127.0.0.1; it stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data directory; as root it belongs to another user.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.data()
    }

    /// The process id of the postmaster started last, which may have ended.
    ///
    /// # Errors
    ///
    /// When the cluster's directory was removed from under it.
    pub fn postmaster_pid(&self) -> Result<i32> {
        self.watchdog.program().ok_or_else(|| {
            Error::internal(format!("cannot read the postmaster's process id in {}", self.directory.path.display()))
        })
    }

    /// The last `lines` lines of the server's log; empty when it cannot be read.
    pub fn log_tail(&self, lines: usize) -> String {
        last_lines(&read_lossy(&self.directory.log()), lines)
    }

    /// Where the programs come from, with versions.
    pub fn description(&self) -> &str {
        self.installation.description()
    }

    /// The programs this server runs with.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Ends the server as a crash would: no checkpoint, recovery at the next start. Returns when the postmaster has
    /// ended; not an error where it had ended already. The data stays for [`Cluster::restart`].
    ///
    /// # Errors
    ///
    /// When the postmaster is still there after 60 s.
    pub fn stop_immediately(&mut self) -> Result<()> {
        self.watchdog.quit()?;
        await_end(&mut self.watchdog, "stop").map(drop)
    }

    /// Starts the server again on the same data and port, ending it first where it still runs; returns when it accepts
    /// connections.
    ///
    /// # Errors
    ///
    /// When the server ends or is silent for 60 s, which includes recovery. The cluster can be restarted again then.
    pub fn restart(&mut self) -> Result<()> {
        self.stop_immediately()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            launch(&mut self.watchdog, &self.installation, &self.account, &self.directory, self.port)?;
            match await_ready(&mut self.watchdog, &self.directory, self.port)? {
                Start::Ready => return Ok(()),
                // After a kill -9 of the postmaster its children take a moment to notice.
                Start::Ended(said) if said.contains("pre-existing shared memory") && Instant::now() < deadline => {
                    thread::sleep(POLL);
                }
                Start::Ended(said) => return Err(did_not_start(&self.directory, &said)),
            }
        }
    }

    /// Leaves the server running and its data on disk when this process ends. Returns the shell command that stops the
    /// server and removes the data; it works for the same user from any directory.
    ///
    /// # Errors
    ///
    /// When the command cannot be written; the cluster is gone then, as after a drop.
    pub fn keep(mut self) -> Result<String> {
        let script = self.directory.path.join("stop");
        self.account.append(&script, STOP)?;
        self.watchdog.let_go()?;
        self.directory.is_kept = true;
        Ok(format!("sh {}", quote_shell(&script)))
    }
}

/// Looks at where the process works, so that after a reboot another one with the same number is left alone.
const STOP: &str = r#"# Stops this throwaway PostgreSQL server and removes its data.
directory=$(cd "$(dirname "$0")" && pwd -P) || exit
read -r pid <"$directory/program.pid"
if [ "$(readlink "/proc/$pid/cwd")" = "$directory/data" ]; then
    kill -INT "$pid" || exit
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
fi
exec rm -rf "$directory"
"#;

/// What became of a start.
enum Start {
    Ready,
    /// The server has ended; what it wrote to its log since this start.
    Ended(String),
}

fn initialize(installation: &Installation, account: &Account, directory: &Directory) -> Result<Watchdog> {
    let program = installation.program("initdb");
    let log = directory.path.join("initdb.log");
    let data = directory.data();
    // The C locale is the only one that every system has and sorts the same everywhere.
    let arguments = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"];
    let arguments = arguments.iter().map(AsRef::as_ref).chain([data.as_os_str()]);
    let mut watchdog = Watchdog::start(account, &directory.path, &log, &program, arguments)?;
    match await_end(&mut watchdog, "initdb")? {
        0 => Ok(watchdog),
        _ => {
            let error = Error::internal(format!("cannot initialize data directory {}", data.display()))
                .caused_by(last_lines(&watchdog.said(), QUOTED_LINES));
            Err(match account.hint(&[installation.programs(), &directory.path]) {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

/// Starts the server in the place of what `watchdog` ran before, and answers with its port.
fn launch_on_free_port(
    watchdog: &mut Watchdog,
    installation: &Installation,
    account: &Account,
    directory: &Directory,
) -> Result<u16> {
    let mut attempts_left = PORT_ATTEMPTS;
    loop {
        let port = free_port()?;
        launch(watchdog, installation, account, directory, port)?;
        attempts_left -= 1;
        match await_ready(watchdog, directory, port)? {
            Start::Ready => return Ok(port),
            Start::Ended(said) if said.contains("Address already in use") && attempts_left > 0 => {}
            Start::Ended(said) => return Err(did_not_start(directory, &said)),
        }
    }
}

fn launch(
    watchdog: &mut Watchdog,
    installation: &Installation,
    account: &Account,
    directory: &Directory,
    port: u16,
) -> Result<()> {
    let (program, log, data) = (installation.program("postgres"), directory.log(), directory.data());
    let port = port.to_string();
    let arguments = ["-p".as_ref(), port.as_ref(), "-D".as_ref(), data.as_os_str()];
    // The new one first: between the two our death would leave the directory behind.
    let launched = Watchdog::start(account, &directory.path, &log, &program, arguments)?;
    std::mem::replace(watchdog, launched).hand_over()
}

fn did_not_start(directory: &Directory, said: &str) -> Error {
    Error::internal(format!("cannot start a server on {}", directory.data().display()))
        .caused_by(last_lines(said, QUOTED_LINES))
}

fn await_ready(watchdog: &mut Watchdog, directory: &Directory, port: u16) -> Result<Start> {
    let deadline = Instant::now() + PATIENCE;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    loop {
        if watchdog.program_status().is_some() {
            return Ok(Start::Ended(watchdog.said()));
        }
        let lock_file = fs::read_to_string(directory.data().join("postmaster.pid")).unwrap_or_default();
        let is_ready = watchdog.program().is_some_and(|pid| says_ready(&lock_file, pid));
        if is_ready && TcpStream::connect_timeout(&address, POLL).is_ok() {
            return Ok(Start::Ready);
        }
        if Instant::now() > deadline {
            let message = format!("the server does not accept connections after {} s", PATIENCE.as_secs());
            return Err(Error::internal(message).caused_by(last_lines(&watchdog.said(), QUOTED_LINES)));
        }
        thread::sleep(POLL);
    }
}

/// Whether postmaster.pid is that of process `pid` (after a crash it may be the one before) and says `ready`.
fn says_ready(lock_file: &str, pid: i32) -> bool {
    let mut lines = lock_file.lines();
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

fn await_end(watchdog: &mut Watchdog, what: &str) -> Result<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = watchdog.program_status() {
            return Ok(status);
        }
        if Instant::now() > deadline {
            return Err(Error::internal(format!("{what} has not ended within {} s", PATIENCE.as_secs())));
        }
        thread::sleep(POLL);
    }
}

/// A port that is free now. Somebody may take it before the server does.
fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .doing(Kind::Internal, || "cannot find a free port on 127.0.0.1")
}

/// A directory that goes with its owner.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    is_kept: bool,
}

impl Directory {
    fn create(name: &str, account: &Account) -> Result<Self> {
        let parent = std::env::temp_dir();
        let doing = || format!("cannot make a directory for a cluster in {}", parent.display());
        let parent = fs::canonicalize(&parent).doing(Kind::Internal, doing)?;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("hypercopy-{}-{}-{number}", file_name(name), std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                // Left by a process with our number whose watchdog was killed, too.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing(Kind::Internal, doing),
                Ok(()) => {
                    let directory = Directory { path, is_kept: false };
                    account.own(&directory.path)?;
                    return Ok(directory);
                }
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The watchdog has removed it, except where its user may not remove entries of $TMPDIR, or where children of a
        // killed postmaster were still writing.
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.is_kept && self.path.exists() && Instant::now() < deadline {
            if fs::remove_dir_all(&self.path).is_err() {
                thread::sleep(POLL);
            }
        }
    }
}

fn configuration(settings: &Settings, directory: &Path) -> String {
    let fixed = [
        ("shared_preload_libraries", "timescaledb".to_owned()),
        ("timescaledb.telemetry_level", "off".to_owned()),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", socket_directory(directory)),
        ("fsync", if settings.fsync { "on" } else { "off" }.to_owned()),
        // Debian's packages are unpacked without LLVM.
        ("jit", "off".to_owned()),
        // The only zone that a server knows on a system without tzdata.
        ("timezone", "GMT".to_owned()),
        ("log_timezone", "GMT".to_owned()),
    ];
    let given = settings.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = fixed.iter().map(|(name, value)| (*name, value.as_str())).chain(given);
    all.fold(String::from("\n"), |text, (name, value)| text + name + " = " + &quote_parameter(value) + "\n")
}

/// A list of one directory in PostgreSQL's own quotes, or none where its name is too long for a socket.
fn socket_directory(directory: &Path) -> String {
    match directory.to_str() {
        Some(path) if path.len() <= SOCKET_DIRECTORY_BYTES => format!("\"{}\"", path.replace('"', "\"\"")),
        _ => String::new(),
    }
}

/// A value of postgresql.conf.
fn quote_parameter(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', "''").replace('\n', r"\n"))
}

/// A value of a connection string in keyword form.
fn quote_conninfo(value: &str) -> String {
    let is_plain =
        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if is_plain { value.to_owned() } else { format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'")) }
}

/// One word for `sh`.
fn quote_shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Part of a file name: what is neither a letter nor a digit becomes `-`, and it stays short enough for a socket.
fn file_name(name: &str) -> String {
    name.chars().take(24).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The text of a log, which quotes whatever clients sent.
fn read_lossy(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_is_quoted_for_a_conninfo_only_where_it_must_be() {
        assert_eq!(quote_conninfo("demo_1"), "demo_1");
        assert_eq!(quote_conninfo(""), "''");
        assert_eq!(quote_conninfo(r"it's a\b"), r"'it\'s a\\b'");
    }

    #[test]
    fn a_quoted_conninfo_means_the_name_to_tokio_postgres() {
        let name = r"it's = a\b";
        let config: tokio_postgres::Config = format!("dbname={}", quote_conninfo(name)).parse().unwrap();
        assert_eq!(config.get_dbname(), Some(name));
    }

    #[test]
    fn given_parameters_come_after_our_own_and_are_quoted() {
        let settings = Settings::new("t").fsync(false).parameter("application_name", r"a'b\c");
        let text = configuration(&settings, Path::new("/tmp/a b"));
        assert!(text.ends_with("application_name = 'a''b\\\\c'\n"), "{text}");
        assert!(text.contains("\nfsync = 'off'\n") && text.contains("\nunix_socket_directories = '\"/tmp/a b\"'\n"));
        assert!(configuration(&settings, Path::new(&"x".repeat(91))).contains("\nunix_socket_directories = ''\n"));
    }

    #[test]
    fn the_lock_file_of_an_earlier_postmaster_is_not_ready() {
        let file = |status: &str| format!("42\n/d\n1\n5432\n/d\n127.0.0.1\n  1 2\n{status}\n");
        assert!(says_ready(&file("ready   "), 42));
        assert!(!says_ready(&file("ready   "), 43));
        assert!(!says_ready(&file("starting"), 42));
        assert!(!says_ready("42\n", 42));
    }
}
