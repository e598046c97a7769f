//! Which Debian mirror this host uses, out of the text of its apt source lists.
//!
//! **Invariant:** pure except for [`of_host`], which only reads; an unclear list is no mirror, never a guess.

use std::fs;
use std::path::{Path, PathBuf};

/// Used where the host's own lists name no Debian mirror.
const DEFAULT: &str = "http://deb.debian.org/debian";

/// One URI of a source list with what tells Debian's archive from others whose address also ends in `/debian`.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    signed_by: String,
}

/// `$HYPERCOPY_DEBIAN_MIRROR`, else the mirror this host's apt uses for Debian, else `deb.debian.org`.
pub(super) fn of_host() -> String {
    let given = std::env::var("HYPERCOPY_DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty());
    given.or_else(|| mirror_in(&host_sources())).unwrap_or_else(|| DEFAULT.to_owned())
}

fn host_sources() -> Vec<Source> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files[1..].sort();
    files.iter().flat_map(|file| fs::read_to_string(file).map(|text| parse(file, &text)).unwrap_or_default()).collect()
}

fn parse(file: &Path, text: &str) -> Vec<Source> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("list") => text.lines().filter_map(parse_line).collect(),
        Some("sources") => parse_deb822(text),
        _ => Vec::new(),
    }
}

/// `deb [options] uri suite component…`, the one-line format of sources.list(5).
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim().strip_prefix("deb")?;
    let line = line.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match line.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", line),
    };
    let mut words = rest.split_whitespace();
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).unwrap_or_default();
    Some(Source { uri: words.next()?.into(), suites: vec![words.next()?.into()], signed_by: signed_by.into() })
}

/// Stanzas of `Field: value` lines with continuation lines, the deb822 format of sources.list(5).
fn parse_deb822(text: &str) -> Vec<Source> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).flat_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let is_deb = field(lines, "types").split_whitespace().any(|kind| kind == "deb");
    if !is_deb || field(lines, "enabled").trim().eq_ignore_ascii_case("no") {
        return Vec::new();
    }
    let suites: Vec<String> = field(lines, "suites").split_whitespace().map(str::to_owned).collect();
    let signed_by = field(lines, "signed-by").trim().to_owned();
    let source = |uri: &str| Source { uri: uri.to_owned(), suites: suites.clone(), signed_by: signed_by.clone() };
    field(lines, "uris").split_whitespace().map(source).collect()
}

fn field(lines: &[&str], wanted: &str) -> String {
    let mut value = String::new();
    let mut inside = false;
    for line in lines {
        let continued = line.starts_with(char::is_whitespace);
        let (name, text) = if continued { ("", *line) } else { line.split_once(':').unwrap_or(("", "")) };
        inside = if continued { inside } else { name.eq_ignore_ascii_case(wanted) };
        if inside {
            value.push_str(text);
            value.push(' ');
        }
    }
    value
}

fn mirror_in(sources: &[Source]) -> Option<String> {
    let is_archive = |source: &&Source| {
        // Only the archive itself has suites like bookworm-updates; vendors' repositories (Docker's, packagecloud's) do
        // not, and neither do they have Debian's key or Debian's host name.
        source.uri.trim_end_matches('/').ends_with("/debian")
            && (source.signed_by.contains("debian-archive")
                || host(&source.uri).ends_with(".debian.org")
                || sources.iter().any(|other| other.uri == source.uri && has_updates(other)))
    };
    sources.iter().find(is_archive).map(|source| source.uri.trim_end_matches('/').to_owned())
}

fn has_updates(source: &Source) -> bool {
    source.suites.iter().any(|suite| suite.ends_with("-updates"))
}

fn host(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror_of(file: &str, text: &str) -> Option<String> {
        mirror_in(&parse(Path::new(file), text))
    }

    #[test]
    fn the_mirror_of_a_one_line_list_is_found_past_comments_options_and_source_packages() {
        let text = "# deb http://old.debian.org/debian x main\ndeb-src http://src.debian.org/debian sid main\n\
            deb [ arch=amd64 signed-by=/k ] http://ftp.de.debian.org/debian/ bookworm main contrib # comment\n";
        assert_eq!(mirror_of("sources.list", text).as_deref(), Some("http://ftp.de.debian.org/debian"));
    }

    #[test]
    fn the_mirror_of_a_deb822_file_is_found_past_disabled_stanzas_and_the_security_archive() {
        let text = "Types: deb\nEnabled: no\nURIs: http://off.debian.org/debian\nSuites: sid\n\n\
            Types: deb\nURIs: http://security.debian.org/debian-security\nSuites: bookworm-security\n\n\
            Types: deb-src deb\n# why\nURIs:\n http://mirror.local/debian\nSuites: bookworm bookworm-updates\nSigned-By:\n -----BEGIN\n .\n";
        assert_eq!(mirror_of("debian.sources", text).as_deref(), Some("http://mirror.local/debian"));
    }

    #[test]
    fn a_vendors_repository_for_debian_is_not_a_mirror_of_debian() {
        let text = "deb https://packagecloud.io/timescale/timescaledb/debian/ bookworm main\n\
            deb [signed-by=/etc/docker.asc] https://download.docker.com/linux/debian bookworm stable\n\
            deb http://archive.ubuntu.com/ubuntu noble main\n";
        assert_eq!(mirror_of("a.list", text), None);
        assert_eq!(mirror_of("a.save", "deb http://deb.debian.org/debian sid main"), None);
    }

    #[test]
    fn a_local_mirror_is_known_by_its_updates_suite() {
        let text =
            "deb http://mirror.local/debian bookworm main\ndeb http://mirror.local/debian bookworm-updates main\n";
        assert_eq!(mirror_of("a.list", text).as_deref(), Some("http://mirror.local/debian"));
        assert_eq!(mirror_of("a.list", "deb http://mirror.local/debian bookworm main"), None);
    }
}
