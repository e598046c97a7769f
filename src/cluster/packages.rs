//! TimescaleDB out of Debian's packages, unpacked into the cache directory: nothing is installed, nobody is root.
//!
//! apt gets directories of its own and the one source it may use; everything else of the host's apt configuration
//! (proxies, credentials) stays in force, and so does the check of the archive's signature. The host's libc may be older
//! than the programs, so each runs with the loader and the libraries of its own folder.
//!
//! **Invariant:** a folder with a marker file is complete and has run; a folder without one is rubbish.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use super::installation::{Installation, describe};
use super::mirror;
use crate::error::{Context as _, Error, Kind, Result};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Written last. Its number is to be raised when folders made by older versions can no longer be used.
const MARKER: &str = "hypercopy-complete-1";

/// Packages that PostgreSQL's depend on for installing or for what a throwaway server does not do; half the download.
const NEEDLESS: [&str; 24] = [
    "adduser",
    "base-passwd",
    "debconf",
    "init-system-helpers",
    "libc-gconv-modules-extra",
    "libc-l10n",
    "libsystemd-shared",
    "locales",
    "login.defs",
    "netbase",
    "openssl",
    "passwd",
    "perl",
    "perl-base",
    "postgresql-client-common",
    "postgresql-common",
    "postgresql-common-dev",
    "procps",
    "sensible-utils",
    "ssl-cert",
    "systemd",
    "sysvinit-utils",
    // Debian's PostgreSQL reads the host's /usr/share/zoneinfo by its absolute path.
    "tzdata",
    "ucf",
];

/// The same by the beginning of the name; LLVM is loaded only when a query is compiled, and clusters have `jit = off`.
const NEEDLESS_PREFIXES: [&str; 5] = ["libllvm", "libperl5", "libproc2", "libz3-", "perl-modules"];

/// Folders of the packages that no program needs.
const UNREAD: [&str; 6] = ["doc", "i18n", "info", "lintian", "locale", "man"];

/// The apt options that are not paths. Hooks of the host are for the host's own package lists; foreign architectures,
/// pinned releases and contents lists would only download more.
const APT_CONFIGURATION: &str = r#"
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
#clear APT::Default-Release;
#clear APT::Architectures;
APT::Update::Error-Mode "any";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::Languages "none";
Acquire::Retries "3";
"#;

/// A Debian release whose packages hypercopy knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Debian 13: PostgreSQL 17 with TimescaleDB 2.19.3.
    Trixie,
    /// Debian unstable: PostgreSQL 18 with whatever TimescaleDB it has today, which may be none.
    Sid,
}

impl Release {
    /// The release's name in Debian's archive.
    pub fn name(self) -> &'static str {
        match self {
            Release::Trixie => "trixie",
            Release::Sid => "sid",
        }
    }

    /// The package that brings TimescaleDB and, by its dependencies, PostgreSQL.
    pub fn package(self) -> &'static str {
        match self {
            Release::Trixie => "postgresql-17-timescaledb",
            Release::Sid => "postgresql-18-timescaledb",
        }
    }

    /// The major version of PostgreSQL the package is for.
    pub fn postgres_major(self) -> u32 {
        match self {
            Release::Trixie => 17,
            Release::Sid => 18,
        }
    }
}

/// How Debian names this machine and where its libraries are.
#[derive(Clone, Copy, Debug)]
struct Machine {
    architecture: &'static str,
    triplet: &'static str,
    loader: &'static str,
}

impl Machine {
    fn this() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => {
                Ok(Machine { architecture: "amd64", triplet: "x86_64-linux-gnu", loader: "ld-linux-x86-64.so.2" })
            }
            // Written after Debian's package lists; not tried.
            "aarch64" => {
                Ok(Machine { architecture: "arm64", triplet: "aarch64-linux-gnu", loader: "ld-linux-aarch64.so.1" })
            }
            other => Err(Error::internal(format!("cannot use Debian packages on a machine of type {other}"))),
        }
    }
}

/// See [`Installation::debian`].
pub(super) fn installation(release: Release) -> Result<Option<Installation>> {
    let cache = usable_cache_directory()?;
    let folder = Folder { release, machine: Machine::this()?, root: cache.join(format!("debian-{}", release.name())) };
    if let Some(installation) = folder.installation() {
        return Ok(Some(installation));
    }
    let _lock = lock(&cache.join(format!("debian-{}.lock", release.name())))?;
    // Whoever held the lock before may have done it.
    if let Some(installation) = folder.installation() {
        return Ok(Some(installation));
    }
    folder.build(&cache)
}

fn usable_cache_directory() -> Result<PathBuf> {
    let user = rustix::process::geteuid();
    let wanted = cache_directory(user.as_raw(), |name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let doing = || format!("cannot use cache directory {}", wanted.display());
    fs::create_dir_all(&wanted).doing(Kind::Internal, doing)?;
    let cache = fs::canonicalize(&wanted).doing(Kind::Internal, doing)?;
    if is_public(&wanted) {
        let metadata = fs::metadata(&cache).doing(Kind::Internal, doing)?;
        if metadata.uid() != user.as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(Error::internal(doing())
                .caused_by(std::io::Error::other("others may write there"))
                .hint("Set HYPERCOPY_CACHE to a directory of your own."));
        }
    }
    // The loader's list of library folders cannot quote its separators.
    if cache.as_os_str().as_encoded_bytes().iter().any(|byte| b":;$\n".contains(byte)) {
        return Err(Error::internal(doing()).hint("Set HYPERCOPY_CACHE to a path without : ; and $."));
    }
    Ok(cache)
}

/// Where packages are kept; root's own home is closed to the user the server runs as, so root has another place.
fn cache_directory(user: u32, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    if let Some(given) = variable("HYPERCOPY_CACHE") {
        return PathBuf::from(given);
    }
    if user == 0 {
        return PathBuf::from("/var/cache/hypercopy");
    }
    // The XDG specification: a relative path is to be ignored.
    let xdg = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache")).filter(|path| path.is_absolute());
    match xdg.or_else(home) {
        Some(base) => base.join("hypercopy"),
        None => PathBuf::from(format!("/var/tmp/hypercopy-{user}")),
    }
}

/// Whether others could have made this directory before us.
fn is_public(directory: &Path) -> bool {
    directory.starts_with("/var/tmp") || directory.starts_with("/tmp")
}

/// Held until the file is dropped, also when the process is killed.
fn lock(path: &Path) -> Result<File> {
    let doing = || format!("cannot lock file {}", path.display());
    let file = File::options().create(true).append(true).open(path).doing(Kind::Internal, doing)?;
    flock(&file, FlockOperation::LockExclusive).doing(Kind::Internal, doing)?;
    Ok(file)
}

/// The unpacked packages of one release.
struct Folder {
    release: Release,
    machine: Machine,
    root: PathBuf,
}

impl Folder {
    fn installation(&self) -> Option<Installation> {
        let description = fs::read_to_string(self.root.join(MARKER)).ok()?;
        Some(Installation::new(self.programs(), description.trim().to_owned()))
    }

    fn programs(&self) -> PathBuf {
        self.root.join(format!("usr/lib/postgresql/{}/bin", self.release.postgres_major()))
    }

    /// To be called with the lock held.
    fn build(&self, cache: &Path) -> Result<Option<Installation>> {
        let work = cache.join(format!("debian-{}.partial", self.release.name()));
        remove(&work)?;
        let built = self.build_in(&work);
        // What is left is rubbish for the next attempt to remove; the first error is the one worth telling.
        let _ = remove(&work);
        Ok(if built? { self.installation() } else { None })
    }

    /// Whether the release offers the package; if so, the folder is complete afterwards.
    fn build_in(&self, work: &Path) -> Result<bool> {
        let apt = Apt::prepare(work, self.machine, self.release)?;
        apt.update()?;
        let Some(names) = apt.dependencies(self.release.package())? else { return Ok(false) };
        let packages = apt.download(&names)?;
        let tree = work.join("tree");
        create_directory(&tree)?;
        packages.iter().try_for_each(|package| unpack(package, &tree))?;
        UNREAD.iter().try_for_each(|folder| remove(&tree.join("usr/share").join(folder)))?;
        remove(&self.root)?;
        fs::rename(&tree, &self.root)
            .doing(Kind::Internal, || format!("cannot move packages to {}", self.root.display()))?;
        self.wrap_programs()?;
        self.mark()?;
        Ok(true)
    }

    /// Puts a script that starts the loader in the place of each program.
    fn wrap_programs(&self) -> Result<()> {
        let doing = || format!("cannot prepare the programs in {}", self.programs().display());
        for entry in fs::read_dir(self.programs()).doing(Kind::Internal, doing)? {
            let program = entry.doing(Kind::Internal, doing)?.path();
            if is_elf(&program) {
                self.wrap(&program).doing(Kind::Internal, doing)?;
            }
        }
        Ok(())
    }

    fn wrap(&self, program: &Path) -> std::io::Result<()> {
        let real = program.with_extension("real");
        fs::rename(program, &real)?;
        fs::write(program, self.wrapper(program, &real))?;
        fs::set_permissions(program, fs::Permissions::from_mode(0o755))
    }

    fn wrapper(&self, program: &Path, real: &Path) -> String {
        let libraries = self.root.join("usr/lib").join(self.machine.triplet);
        let server = self.programs().with_file_name("lib");
        let path = format!("{}:{}", libraries.display(), server.display());
        // PostgreSQL finds its other folders from argv[0]; without --argv0 it would be the name of the .real file.
        format!(
            "#!/bin/sh\nexec {} --library-path {} --argv0 {} {} \"$@\"\n",
            quote(&libraries.join(self.machine.loader).to_string_lossy()),
            quote(&path),
            quote(&program.to_string_lossy()),
            quote(&real.to_string_lossy()),
        )
    }

    /// Runs the server once for its version and writes the marker.
    fn mark(&self) -> Result<()> {
        let share = format!("usr/share/postgresql/{}/extension/timescaledb.control", self.release.postgres_major());
        let origin = format!("Debian {} packages", self.release.name());
        let description = describe(&origin, &self.programs(), &self.root.join(share)).ok_or_else(|| {
            let program = self.programs().join("postgres");
            Error::internal(format!("the unpacked server {} does not run", program.display()))
        })?;
        let temporary = self.root.join("hypercopy-incomplete");
        fs::write(&temporary, description)
            .and_then(|()| fs::rename(&temporary, self.root.join(MARKER)))
            .doing(Kind::Internal, || format!("cannot write to {}", self.root.display()))
    }
}

/// apt-get with directories of its own.
struct Apt {
    directory: PathBuf,
    architecture: &'static str,
}

impl Apt {
    fn prepare(work: &Path, machine: Machine, release: Release) -> Result<Self> {
        if !Path::new(KEYRING).is_file() {
            return Err(Error::internal(format!("the keyring of Debian's archive is missing: {KEYRING}"))
                .hint("Install the package debian-archive-keyring."));
        }
        for directory in ["", "state/lists/partial", "cache/archives/partial", "packages"] {
            create_directory(&work.join(directory))?;
        }
        let options = format!("arch={} lang=none target=Packages signed-by={KEYRING}", machine.architecture);
        let source = format!("deb [{options}] {} {} main\n", mirror::of_host(), release.name());
        let configuration = format!("{APT_CONFIGURATION}APT::Architecture \"{}\";\n", machine.architecture);
        for (file, text) in [("sources.list", source), ("apt.conf", configuration), ("status", String::new())] {
            let path = work.join(file);
            fs::write(&path, text).doing(Kind::Internal, || format!("cannot write file {}", path.display()))?;
        }
        Ok(Apt { directory: work.to_owned(), architecture: machine.architecture })
    }

    fn command(&self) -> Command {
        let place = |option: &str, path: &str| format!("{option}={}", self.directory.join(path).display());
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(self.directory.join("apt.conf")).args(["-q", "-y"]);
        let places = [
            place("Dir::Etc::sourcelist", "sources.list"),
            place("Dir::State", "state"),
            place("Dir::State::lists", "state/lists"),
            place("Dir::State::status", "status"),
            place("Dir::Cache", "cache"),
            place("Dir::Cache::archives", "cache/archives"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("APT::Architectures::={}", self.architecture),
        ];
        places.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        command.current_dir(self.directory.join("packages"));
        command
    }

    fn update(&self) -> Result<()> {
        let mirror = mirror::of_host();
        run(self.command().arg("update"), || format!("cannot read Debian's package list from {mirror}")).map_err(
            |error| match error.hint_text() {
                Some(_) => error,
                None => error.hint("Set HYPERCOPY_DEBIAN_MIRROR to a mirror this machine reaches, as http://…/debian."),
            },
        )?;
        Ok(())
    }

    /// The packages to unpack for `package`; `None` when it is not offered or cannot be installed, as while sid changes
    /// a library.
    fn dependencies(&self, package: &str) -> Result<Option<Vec<String>>> {
        let doing = || format!("cannot find out what package {package} needs");
        match run(self.command().args(["--simulate", "install", package]), doing) {
            Ok(plan) => Ok(Some(planned(&plan))),
            Err(error) if is_not_offered(&error.summary()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The paths of the downloaded packages, whose checksums apt has compared with the signed list's.
    fn download(&self, names: &[String]) -> Result<Vec<PathBuf>> {
        run(self.command().arg("download").args(names), || "cannot download Debian's packages")?;
        let directory = self.directory.join("packages");
        let doing = || format!("cannot list directory {}", directory.display());
        let entries: std::io::Result<Vec<_>> = fs::read_dir(&directory).doing(Kind::Internal, doing)?.collect();
        Ok(entries.doing(Kind::Internal, doing)?.into_iter().map(|entry| entry.path()).collect())
    }
}

/// The names out of lines like `Inst libc6 (2.41-12 Debian:13/stable [amd64])`, without the needless ones.
fn planned(plan: &str) -> Vec<String> {
    let names = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next());
    names.filter(|name| !is_needless(name)).map(str::to_owned).collect()
}

fn is_needless(name: &str) -> bool {
    NEEDLESS.contains(&name) || name.ends_with("-perl") || NEEDLESS_PREFIXES.iter().any(|start| name.starts_with(start))
}

fn is_not_offered(complaint: &str) -> bool {
    ["Unable to locate package", "no installation candidate", "held broken packages", "unmet dependencies"]
        .iter()
        .any(|words| complaint.contains(words))
}

fn unpack(package: &Path, tree: &Path) -> Result<()> {
    let mut command = Command::new("dpkg-deb");
    run(command.arg("-x").arg(package).arg(tree), || format!("cannot unpack {}", package.display())).map(drop)
}

/// What the command wrote to its standard output; when it fails, what it complained about is the cause.
fn run<M: Into<String>>(command: &mut Command, doing: impl Fn() -> M) -> Result<String> {
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let program = command.get_program().to_string_lossy().into_owned();
            return Err(Error::internal(doing()).caused_by(error).hint(format!("Install the program {program}.")));
        }
        other => other.doing(Kind::Internal, &doing)?,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::internal(doing()).caused_by(complaint(&String::from_utf8_lossy(&output.stderr))))
}

/// apt's lines that begin with `E:`, else the last line.
fn complaint(stderr: &str) -> String {
    let errors: Vec<_> = stderr.lines().filter_map(|line| line.strip_prefix("E: ")).collect();
    if errors.is_empty() { stderr.lines().last().unwrap_or("no message").to_owned() } else { errors.join("; ") }
}

/// Readable by all whatever the umask: as root, apt's helpers and the server are other users.
fn create_directory(path: &Path) -> Result<()> {
    let doing = || format!("cannot create directory {}", path.display());
    fs::create_dir_all(path).doing(Kind::Internal, doing)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).doing(Kind::Internal, doing)
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(Kind::Internal, || format!("cannot remove directory {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    !is_link && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

/// One word for `sh`.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(user: u32, variables: &[(&str, &str)]) -> PathBuf {
        cache_directory(user, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_directory_is_the_given_one_then_the_users_then_a_public_one() {
        let all = [("HYPERCOPY_CACHE", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(directory(7, &all), Path::new("/c"));
        assert_eq!(directory(0, &all), Path::new("/c"));
        assert_eq!(directory(7, &all[1..]), Path::new("/x/hypercopy"));
        assert_eq!(directory(7, &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]), Path::new("/h/.cache/hypercopy"));
        assert_eq!(directory(7, &[]), Path::new("/var/tmp/hypercopy-7"));
        assert_eq!(directory(0, &all[1..]), Path::new("/var/cache/hypercopy"));
    }

    #[test]
    fn a_plan_is_reduced_to_the_packages_a_server_needs() {
        let plan = "NOTE: simulation\nInst libc6 (2.41-12 Debian:13/stable [amd64])\nInst perl (5 Debian [amd64])\n\
            Inst libjson-perl (4 Debian [all])\nInst libllvm19 (1 Debian [amd64])\nConf libc6 (2.41-12)\n";
        assert_eq!(planned(plan), ["libc6"]);
    }

    #[test]
    fn a_missing_package_is_told_from_a_broken_network() {
        assert!(is_not_offered(&complaint("W: x\nE: Unable to locate package postgresql-18-timescaledb\n")));
        assert!(!is_not_offered(&complaint("E: Failed to fetch http://m/InRelease  Could not connect\n")));
        assert_eq!(complaint("dpkg-deb: error: no\n"), "dpkg-deb: error: no");
    }

    #[test]
    fn a_path_with_spaces_and_quotes_is_one_word_for_the_shell() {
        assert_eq!(quote("/a b/it's"), r"'/a b/it'\''s'");
    }
}
