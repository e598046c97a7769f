//! A connection URI: `postgresql://user:password@host:port,host:port/database?parameter=value`.
//!
//! **Invariant:** pure; no error repeats the URI, and none what may be a part of a password.

use super::parameters::{Parameters, QUOTING, unreadable};
use crate::error::{Error, Result};

/// Reads what stands behind `postgresql://`.
pub(super) fn parse(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    // A slash ends the part in which users and passwords stand.
    let rest = match text.find(['@', '/']).map(|end| (&text[..end], &text[end..])) {
        Some((login, rest)) if rest.starts_with('@') => {
            read_login(&mut parameters, login)?;
            &rest[1..]
        }
        _ => text,
    };
    let rest = read_hosts(&mut parameters, rest)?;
    let (database, query) = match rest.strip_prefix('/') {
        Some(path) => path.split_once('?').unwrap_or((path, "")),
        None => ("", rest.strip_prefix('?').unwrap_or_default()),
    };
    // Before anybody looks at the ports, which may be a password then.
    if database.contains('@') {
        return Err(misplaced("database"));
    }
    store(&mut parameters, "dbname", database)?;
    read_query(&mut parameters, query)?;
    Ok(parameters)
}

/// `user:password`, either of which may be missing.
fn read_login(parameters: &mut Parameters, login: &str) -> Result<()> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    store(parameters, "user", user)?;
    store(parameters, "password", password)
}

/// `host:port,[address]:port`; answers what stands behind the last one.
fn read_hosts<'t>(parameters: &mut Parameters, mut text: &'t str) -> Result<&'t str> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    loop {
        let (host, behind) = read_host(text)?;
        let (port, behind) = match behind.strip_prefix(':') {
            Some(port) => port.split_at(port.find(['/', '?', ',']).unwrap_or(port.len())),
            None => ("", behind),
        };
        hosts.push(host);
        ports.push(port);
        match behind.strip_prefix(',') {
            Some(next) => text = next,
            None => {
                // A password with a slash or a second @ in it reaches until here.
                if [&hosts, &ports].iter().any(|parts| parts.iter().any(|part| part.contains('@'))) {
                    return Err(misplaced("host"));
                }
                store(parameters, "host", &hosts.join(","))?;
                store(parameters, "port", &ports.join(","))?;
                return Ok(behind);
            }
        }
    }
}

/// One host; an IPv6 address stands in brackets, which are not part of it.
fn read_host(text: &str) -> Result<(&str, &str)> {
    let Some(address) = text.strip_prefix('[') else {
        return Ok(text.split_at(text.find([':', '/', '?', ',']).unwrap_or(text.len())));
    };
    let missing = || unreadable("end of string reached when looking for matching \"]\" in IPv6 host address in URI");
    let (address, behind) = address.split_once(']').ok_or_else(missing)?;
    if address.is_empty() {
        return Err(unreadable("IPv6 host address may not be empty in URI"));
    }
    match behind.chars().next() {
        None | Some(':' | '/' | '?' | ',') => Ok((address, behind)),
        Some(character) => {
            let message = format!("unexpected character \"{character}\" in URI (expected \":\" or \"/\")");
            Err(unreadable(message).hint("It stands behind the address in brackets."))
        }
    }
}

fn read_query(parameters: &mut Parameters, query: &str) -> Result<()> {
    // As in libpq an & at the end is none too many.
    for pair in query.strip_suffix('&').unwrap_or(query).split('&').filter(|_| !query.is_empty()) {
        let Some((keyword, value)) = pair.split_once('=') else {
            let shown = parameters.shown(pair);
            return Err(unreadable(format!("missing key/value separator \"=\" in URI query parameter: {shown}")));
        };
        if value.contains('=') {
            let shown = parameters.shown(keyword);
            return Err(unreadable(format!("extra key/value separator \"=\" in URI query parameter: {shown}"))
                .hint("Write an = of a value as %3D."));
        }
        let (keyword, value) = (decode(keyword)?, decode(value)?);
        // JDBC's word for it.
        let (keyword, value) = match (keyword.as_str(), value.as_str()) {
            ("ssl", "true") => ("sslmode", "require"),
            other => other,
        };
        if parameters.set(keyword, value).is_err() {
            let shown = parameters.shown(keyword);
            return Err(unreadable(format!("invalid URI query parameter: {shown}")).hint(QUOTING));
        }
    }
    Ok(())
}

/// What is empty counts as not given.
fn store(parameters: &mut Parameters, keyword: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    parameters.set(keyword, &decode(text)?).map_err(|_| Error::internal("a part of a URI is no parameter"))
}

/// An `@` of a password that is not written `%40` makes the rest of it a host or a database, which are shown.
fn misplaced(part: &str) -> Error {
    unreadable(format!("the conninfo's {part} has an @ in it")).hint(QUOTING)
}

/// `%40` becomes `@`.
fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        match rest {
            [high, low, behind @ ..] if digit(high).is_some() && digit(low).is_some() => {
                let byte = digit(high).zip(digit(low)).map_or(0, |(high, low)| high * 16 + low) as u8;
                if byte == 0 {
                    return Err(unreadable("forbidden value %00 in percent-encoded value"));
                }
                bytes.push(byte);
                rest = behind;
            }
            _ => return Err(unreadable("invalid percent-encoded token").hint("Write a % itself as %25.")),
        }
    }
    String::from_utf8(bytes).map_err(|_| unreadable("a percent-encoded value is not UTF-8"))
}
