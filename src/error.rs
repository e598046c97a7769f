//! The one error type of the crate.
//!
//! An [`Error`] says what was being done and to which object (`message`), why it failed (its source, rendered with
//! SQLSTATE and the server's own detail), and what to do next (`hint`). Callers ask it questions
//! ([`Error::kind`], [`Error::is_retryable`]) instead of matching variants. It is printed once, at the edge.
//!
//! **Invariant:** no text in here is built from row values or passwords. The one exception is what a server says in
//! its own DETAIL, which [`Error::report`] shows on the terminal and [`Error::summary`] leaves out.

use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who is to blame, and so what the process answers when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A defect of hypercopy or of the machine it runs on.
    Internal,
    /// The command line alone shows that the request is wrong.
    Usage,
    /// Refused by looking at the servers, before the first write.
    Refused,
    /// The source said no during the work.
    Source,
    /// The target said no during the work (also where source and target are one database).
    Target,
    /// The rows or bytes of the input are bad, also where a constraint of the target rejects a row of it.
    Input,
    /// Both sides were readable and differ.
    Different,
    /// Given up, can be resumed.
    Resumable,
    /// The job is held by another run.
    Held,
    /// Ended by a signal; the number is the signal's.
    Signal(u8),
}

impl Kind {
    /// The exit code of the process, as the README documents it.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Source => 4,
            Kind::Target => 5,
            Kind::Input => 6,
            Kind::Different => 7,
            Kind::Resumable => 8,
            Kind::Held => 9,
            Kind::Signal(number) => 128 + number,
        }
    }

    /// The stable word for this kind in JSON reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Internal => "internal",
            Kind::Usage => "usage",
            Kind::Refused => "refused",
            Kind::Source => "source",
            Kind::Target => "target",
            Kind::Input => "input",
            Kind::Different => "different",
            Kind::Resumable => "resumable",
            Kind::Held => "held",
            Kind::Signal(_) => "signal",
        }
    }
}

/// What went wrong; see the module documentation.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Whether another attempt may do better, where somebody has said so.
    retryable: Option<bool>,
}

/// Classes of SQLSTATE (PostgreSQL's manual, appendix A) that are about the session, the statement or the server.
const NOT_ABOUT_ROWS: [&str; 33] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "24", "25", "26", "28", "2B", "2D", "2F",
    "34", "38", "39", "3B", "3D", "3F", "40", "42", "53", "57", "58", "F0", "HV", "XX",
];

impl Error {
    /// An error with a message: lower case, no full stop, naming the object it is about.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), hint: None, source: None, retryable: None }))
    }

    /// A request that [`Kind::Refused`] describes.
    pub fn refused(message: impl Into<String>) -> Self {
        Error::new(Kind::Refused, message)
    }

    /// A defect of ours or of this machine.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Kind::Internal, message)
    }

    /// Adds what to do next, as a full sentence.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Attaches the error that caused this one; its text is not copied into the message.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks an error that another attempt may not meet, although no server has said so.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = Some(true);
        self
    }

    /// Marks an error after which there was no time left for another attempt.
    #[must_use]
    pub fn given_up(mut self) -> Self {
        self.0.retryable = Some(false);
        self
    }

    /// The same error with another message.
    #[must_use]
    pub fn renamed(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// The same error under another kind; used where only the caller knows whether something was written already.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Who is to blame.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message alone, without cause and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The server's SQLSTATE, where a server's answer is the cause.
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.answer().map(|answer| answer.code)
    }

    /// The constraint that a server's answer names, where it names one.
    pub fn constraint(&self) -> Option<&str> {
        self.answer().and_then(|answer| answer.constraint)
    }

    /// What the server itself has said of a statement that it refused.
    pub fn refusal(&self) -> Option<Refusal<'_>> {
        let answer = self.answer()?;
        Some(Refusal {
            sqlstate: answer.code.code(),
            message: answer.message,
            context: answer.place,
            column: answer.column,
        })
    }

    /// Whether the same statement may succeed when it is tried again: connection loss, admin shutdown, deadlock,
    /// serialization failure, too many connections, cannot connect now, lock not available. Not disk full.
    pub fn is_retryable(&self) -> bool {
        if let Some(said) = self.0.retryable {
            return said;
        }
        match self.sqlstate() {
            Some(state) => {
                state.code().starts_with("08")
                    || [
                        SqlState::ADMIN_SHUTDOWN,
                        SqlState::CRASH_SHUTDOWN,
                        SqlState::CANNOT_CONNECT_NOW,
                        SqlState::TOO_MANY_CONNECTIONS,
                        SqlState::T_R_SERIALIZATION_FAILURE,
                        SqlState::T_R_DEADLOCK_DETECTED,
                        SqlState::LOCK_NOT_AVAILABLE,
                    ]
                    .contains(state)
            }
            None => self.is_closed() || self.chain().any(|cause| cause.is::<std::io::Error>()),
        }
    }

    /// Whether a server's answer to a COPY is about what a row holds, by its SQLSTATE. A trigger can raise whatever it
    /// likes, so it is told by what it is not.
    pub fn is_about_rows(&self) -> bool {
        self.sqlstate().is_some_and(|state| !state.code().get(..2).is_none_or(|class| NOT_ABOUT_ROWS.contains(&class)))
    }

    /// Whether the cause is a session that the server has closed without a word.
    pub fn is_closed(&self) -> bool {
        let is_closed = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<tokio_postgres::Error>().is_some_and(tokio_postgres::Error::is_closed)
        };
        self.chain().any(is_closed)
    }

    /// One line for reports and ledgers: message and causes, with SQLSTATE, without what may quote a row.
    pub fn summary(&self) -> String {
        let mut text = self.0.message.clone();
        for cause in self.chain() {
            text.push_str(": ");
            match Answer::of(cause) {
                Some(answer) => {
                    text.push_str(&format!("{} (SQLSTATE {})", answer.message, answer.code.code()));
                    return text;
                }
                None => text.push_str(&cause.to_string()),
            }
        }
        text
    }

    /// The text for a person at a terminal: message, causes, the server's detail and position, hint. Several lines.
    pub fn report(&self) -> String {
        let mut text = self.summary();
        if let Some(answer) = self.answer() {
            let lines = [("detail", answer.detail), ("server's hint", answer.hint), ("where", answer.place)];
            for (label, line) in lines.into_iter().filter_map(|(label, line)| Some((label, line?))) {
                text.push_str(&format!("\n  {label}: {line}"));
            }
        }
        if let Some(hint) = self.hint_text() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        sanitize(&text)
    }

    /// The hint, where there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    fn answer(&self) -> Option<Answer<'_>> {
        self.chain().find_map(Answer::of)
    }

    fn chain(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        let first = self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static));
        std::iter::successors(first, |cause| cause.source())
    }
}

/// What a server has said of a statement that it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// Five characters.
    pub sqlstate: &'a str,
    /// Its message, which may quote a value.
    pub message: &'a str,
    /// Its CONTEXT: where in the data or in which function.
    pub context: Option<&'a str>,
    /// The column, where the error is one column's.
    pub column: Option<&'a str>,
}

/// What a server has answered in place of what was asked, read from the protocol by ourselves.
#[derive(Debug)]
pub struct ServerError {
    code: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    place: Option<String>,
    constraint: Option<String>,
    column: Option<String>,
}

impl ServerError {
    /// Reads the body of an ErrorResponse: fields of a type byte and a string that a zero ends.
    pub fn parse(body: &[u8]) -> ServerError {
        let mut error = ServerError {
            code: SqlState::INTERNAL_ERROR,
            message: String::new(),
            detail: None,
            hint: None,
            place: None,
            constraint: None,
            column: None,
        };
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, value)) = field.split_first() else { continue };
            let value = String::from_utf8_lossy(value).into_owned();
            match kind {
                b'C' => error.code = SqlState::from_code(&value),
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'W' => error.place = Some(value),
                b'n' => error.constraint = Some(value),
                b'c' => error.column = Some(value),
                _ => {}
            }
        }
        error
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ServerError {}

/// A server's answer, whoever has read it.
struct Answer<'a> {
    code: &'a SqlState,
    message: &'a str,
    detail: Option<&'a str>,
    hint: Option<&'a str>,
    place: Option<&'a str>,
    constraint: Option<&'a str>,
    column: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(cause: &'a (dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = cause.downcast_ref::<ServerError>() {
            return Some(Answer {
                code: &error.code,
                message: &error.message,
                detail: error.detail.as_deref(),
                hint: error.hint.as_deref(),
                place: error.place.as_deref(),
                constraint: error.constraint.as_deref(),
                column: error.column.as_deref(),
            });
        }
        let error: &DbError = cause.downcast_ref::<tokio_postgres::Error>()?.as_db_error()?;
        Some(Answer {
            code: error.code(),
            message: error.message(),
            detail: error.detail(),
            hint: error.hint(),
            place: error.where_(),
            constraint: error.constraint(),
            column: error.column(),
        })
    }
}

/// Text for a terminal: control characters of a hostile server's message or names must not reach it.
pub fn sanitize(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.report())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.chain().next()
    }
}

/// Says what was being done when something outside this crate failed.
pub trait Context<T> {
    /// Wraps the failure into an [`Error`] of `kind`; `doing` is evaluated only on failure.
    fn doing<M: Into<String>>(self, kind: Kind, doing: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn doing<M: Into<String>>(self, kind: Kind, doing: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Error::new(kind, doing()).caused_by(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_shows_message_cause_and_hint_in_that_order() {
        let error = Error::refused("cannot read table public.t")
            .caused_by(std::io::Error::other("no route"))
            .hint("Check the network.");
        assert_eq!(error.report(), "cannot read table public.t: no route\n  hint: Check the network.");
        assert_eq!(error.kind().exit_code(), 3);
    }

    #[test]
    fn a_broken_socket_is_retryable_and_a_refusal_is_not() {
        assert!(Error::new(Kind::Source, "reading").caused_by(std::io::Error::other("reset")).is_retryable());
        assert!(!Error::refused("no such table").is_retryable());
    }

    #[test]
    fn a_servers_answer_is_read_field_by_field() {
        let body = b"SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (a)=(1)\0nt_pkey\0\0";
        let error = Error::new(Kind::Target, "writing").caused_by(ServerError::parse(body));
        assert_eq!(error.sqlstate(), Some(&SqlState::UNIQUE_VIOLATION));
        assert_eq!(error.constraint(), Some("t_pkey"));
        assert_eq!(error.summary(), "writing: duplicate key (SQLSTATE 23505)");
        assert!(error.report().contains("detail: Key (a)=(1)"));
        assert_eq!(ServerError::parse(b"").code, SqlState::INTERNAL_ERROR);
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(Error::internal("a\u{1b}[2Jb").report(), "a\u{fffd}[2Jb");
    }
}
