//! How a server may ask who we are: `require_auth`, and what the server has asked for.
//!
//! tokio-postgres answers whatever is asked, a password in the clear too. So its stream is watched until the login is over, and a
//! request that may not be answered never reaches it.
//!
//! **Invariant:** sees what the server sends, never what we answer.

use std::sync::{Arc, Mutex};

use super::parameters::unreadable;
use crate::error::{Error, Kind, Result};

/// The methods by which a server may let us in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequireAuth {
    /// A bit for each of [`METHODS`].
    allowed: u8,
    /// Whether the server has to ask for something.
    is_asking_required: bool,
}

impl Default for RequireAuth {
    /// All of them, and none.
    fn default() -> Self {
        RequireAuth { allowed: u8::MAX, is_asking_required: false }
    }
}

/// In the order of the bits, with the codes of the requests.
const METHODS: [(&str, &[u32]); 5] =
    [("password", &[CLEARTEXT]), ("md5", &[5]), ("gss", &[7, 8]), ("sspi", &[9, 8]), ("scram-sha-256", &[10, 11, 12])];

/// The server is satisfied.
const OK: u32 = 0;
/// The server wants the password as it is.
const CLEARTEXT: u32 = 3;

impl RequireAuth {
    /// Reads `scram-sha-256,none` or `!password,!md5`.
    pub(super) fn parse(text: &str) -> Result<RequireAuth> {
        let is_negative = text.starts_with('!');
        let nothing = RequireAuth { allowed: 0, is_asking_required: true };
        let mut methods = if is_negative { RequireAuth::default() } else { nothing };
        for part in text.split(',') {
            let method = match (is_negative, part.strip_prefix('!')) {
                (true, Some(method)) => method,
                (true, None) => {
                    let message = format!("require_auth method \"{part}\" cannot be mixed with negative methods");
                    return Err(unreadable(message));
                }
                (false, Some(_)) => {
                    let message =
                        format!("negative require_auth method \"{part}\" cannot be mixed with non-negative methods");
                    return Err(unreadable(message));
                }
                (false, None) => part,
            };
            if !methods.change(method, !is_negative)? {
                return Err(unreadable(format!("require_auth method \"{part}\" is specified more than once")));
            }
        }
        Ok(methods)
    }

    /// Allows or forbids a method; answers whether that was news.
    fn change(&mut self, method: &str, is_allowed: bool) -> Result<bool> {
        if method == "none" {
            let before = std::mem::replace(&mut self.is_asking_required, !is_allowed);
            return Ok(before == is_allowed);
        }
        let Some(number) = METHODS.iter().position(|(name, _)| *name == method) else {
            return Err(unreadable(format!("invalid require_auth value: \"{method}\"")).hint(
                "It takes password, md5, gss, sspi, scram-sha-256 and none, or each of them with a ! before it.",
            ));
        };
        let (before, bit) = (self.allowed, 1 << number);
        self.allowed = if is_allowed { before | bit } else { before & !bit };
        Ok(self.allowed != before)
    }

    fn allows(self, request: u32) -> bool {
        // What has no name here tokio-postgres does not answer. GSS and SSPI share a code.
        let mut by = METHODS.iter().enumerate().filter(|(_, (_, codes))| codes.contains(&request)).peekable();
        by.peek().is_none() || by.any(|(number, _)| self.allowed & 1 << number != 0)
    }
}

/// What was seen of a login, for whoever waits for its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    wants_cleartext: bool,
    refusal: Option<&'static str>,
}

impl Seen {
    /// Whether the server has asked for the password as it is.
    pub(super) fn wants_cleartext(&self) -> bool {
        self.0.lock().expect("no holder of a login's record panics").wants_cleartext
    }

    /// Why the login was broken off here.
    pub(super) fn refusal(&self, require_auth: &str) -> Option<Error> {
        let reason = self.0.lock().expect("no holder of a login's record panics").refusal?;
        let message = format!("authentication method requirement \"{require_auth}\" failed: {reason}");
        Some(Error::new(Kind::Refused, message))
    }
}

/// Watches the server's messages until the login is over.
#[derive(Debug)]
pub(super) struct Gate {
    methods: RequireAuth,
    seen: Seen,
    /// The server has asked for something that was allowed.
    has_asked: bool,
    /// The begin of a message: its type, its length, and of a request its code.
    head: Vec<u8>,
    /// Bytes of the message behind its head.
    rest: usize,
}

/// A message's type, its length and a request's code.
const HEAD: usize = 9;

/// What a [`Gate`] says to bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Let them through, and go on watching.
    Pass,
    /// Let them through: the login is over.
    Over,
    /// The server wants what it may not have.
    Refuse,
}

impl Gate {
    pub(super) fn new(methods: RequireAuth, seen: Seen) -> Self {
        Gate { methods, seen, has_asked: false, head: Vec::with_capacity(HEAD), rest: 0 }
    }

    /// Looks at bytes before anybody acts on them.
    pub(super) fn judge(&mut self, mut bytes: &[u8]) -> Verdict {
        while let [byte, behind @ ..] = bytes {
            if self.rest > 0 {
                let body = self.rest.min(bytes.len());
                self.rest -= body;
                bytes = &bytes[body..];
                continue;
            }
            self.head.push(*byte);
            bytes = behind;
            match self.head.as_slice() {
                [b'R', _, _, _, _, code @ ..] if code.len() == 4 => {
                    let code = u32::from_be_bytes([code[0], code[1], code[2], code[3]]);
                    match self.request(code) {
                        Verdict::Pass => self.skip(HEAD),
                        verdict => return verdict,
                    }
                }
                [b'R', ..] => {}
                // An error, or an offer of another protocol version.
                [_, _, _, _, _] => self.skip(HEAD - 4),
                _ => {}
            }
        }
        Verdict::Pass
    }

    fn request(&mut self, code: u32) -> Verdict {
        let reason = match code {
            OK if self.has_asked || !self.methods.is_asking_required => return Verdict::Over,
            OK => "server did not complete authentication",
            _ if self.methods.allows(code) => {
                self.has_asked = true;
                self.note(|record| record.wants_cleartext |= code == CLEARTEXT);
                return Verdict::Pass;
            }
            CLEARTEXT => "server requested a cleartext password",
            5 => "server requested a hashed password",
            7 | 8 => "server requested GSSAPI authentication",
            9 => "server requested SSPI authentication",
            10..=12 => "server requested SASL authentication",
            _ => "server requested an unknown authentication type",
        };
        self.note(|record| record.refusal = Some(reason));
        Verdict::Refuse
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.seen.0.lock().expect("no holder of a login's record panics"));
    }

    /// What follows the head of this message says nothing here.
    fn skip(&mut self, read: usize) {
        let length = u32::from_be_bytes([self.head[1], self.head[2], self.head[3], self.head[4]]) as usize;
        self.rest = (length + 1).saturating_sub(read);
        self.head.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: u32, data: &[u8]) -> Vec<u8> {
        let length = (8 + data.len()) as u32;
        [&b"R"[..], &length.to_be_bytes(), &code.to_be_bytes(), data].concat()
    }

    fn verdict(require_auth: &str, messages: &[u8], cut: usize) -> Verdict {
        let methods = RequireAuth::parse(require_auth).unwrap();
        let mut gate = Gate::new(methods, Seen::default());
        match gate.judge(&messages[..cut]) {
            Verdict::Pass => gate.judge(&messages[cut..]),
            verdict => verdict,
        }
    }

    #[test]
    fn what_is_asked_for_is_judged_however_the_bytes_are_cut() {
        let notice = b"N\0\0\0\x06xx".to_vec();
        let scram =
            [notice, request(10, b"SCRAM-SHA-256\0\0"), request(11, b"r="), request(12, b"v="), request(0, b"")];
        let (scram, clear) = (scram.concat(), [request(3, b""), request(0, b"")].concat());
        let trust = request(0, b"");
        for (require_auth, messages, expected) in [
            ("scram-sha-256", &scram, Verdict::Over),
            ("!scram-sha-256", &scram, Verdict::Refuse),
            ("md5,password", &scram, Verdict::Refuse),
            ("md5,password", &clear, Verdict::Over),
            ("scram-sha-256", &clear, Verdict::Refuse),
            ("!password", &clear, Verdict::Refuse),
            ("scram-sha-256", &trust, Verdict::Refuse),
            ("scram-sha-256,none", &trust, Verdict::Over),
            ("none", &clear, Verdict::Refuse),
            ("!none", &trust, Verdict::Refuse),
            ("!none", &clear, Verdict::Over),
        ] {
            for cut in 0..messages.len() {
                assert_eq!(verdict(require_auth, messages, cut), expected, "{require_auth} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_list_of_methods_is_all_negative_or_not_at_all() {
        let message = |text| RequireAuth::parse(text).unwrap_err().report();
        assert!(message("scram-sha-256,!md5").contains("negative require_auth method \"!md5\" cannot be mixed"));
        assert!(message("!md5,password").contains("require_auth method \"password\" cannot be mixed"));
        assert!(message("md5,md5").contains("is specified more than once"));
        assert!(message("!none,!none").contains("is specified more than once"));
        assert!(message("maybe").contains("invalid require_auth value: \"maybe\""));
    }
}
