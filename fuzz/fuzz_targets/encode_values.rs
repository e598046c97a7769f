//! No text makes an encoder panic; what it does not take leaves no trace, what it takes has the right length. Where
//! `HYPERCOPY_FUZZ_SERVER` is the conninfo of a server, that one's input functions have to agree.
//! `cargo +nightly fuzz run encode_values`
#![no_main]

use std::cell::OnceCell;

use hypercopy::pgcopy::encode::Encoder;
use hypercopy::pgcopy::text::push_field;
use libfuzzer_sys::{arbitrary, fuzz_target};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, Statement};

/// Types, and the functions that answer what a binary field of them holds. A jsonb is not sent as it was read.
const TYPES: [(&str, &str); 13] = [
    ("bool", "boolsend"),
    ("int2", "int2send"),
    ("int4", "int4send"),
    ("int8", "int8send"),
    ("float4", "float4send"),
    ("float8", "float8send"),
    ("numeric", "numeric_send"),
    ("text", "textsend"),
    ("jsonb", ""),
    ("timestamptz", "timestamptz_send"),
    ("timestamp", "timestamp_send"),
    ("date", "date_send"),
    ("uuid", "uuid_send"),
];

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    kind: u8,
    /// Whether the session's zone is UTC.
    utc: bool,
    text: Vec<u8>,
    before: Vec<u8>,
}

thread_local! {
    static SERVER: OnceCell<Option<Server>> = const { OnceCell::new() };
}

fuzz_target!(|input: Input| {
    let kind = usize::from(input.kind) % TYPES.len();
    let encoder = Encoder::of(TYPES[kind].0, input.utc).expect("the type has an encoder");
    let mut out = input.before.clone();
    let taken = encoder.push(&input.text, &mut out);
    let (before, field) = out.split_at(input.before.len());
    assert_eq!(before, input.before);
    if taken {
        let (&len, value) = field.split_first_chunk().expect("a field has a length");
        assert_eq!(i32::from_be_bytes(len) as usize, value.len());
        SERVER.with(|server| server.get_or_init(Server::given).as_ref().map(|server| server.judge(kind, &input, value)));
    } else {
        assert!(field.is_empty());
    }
    let mut escaped = Vec::new();
    push_field(Some(&input.text), &mut escaped);
    assert!(!escaped.iter().any(|byte| b"\t\n\r".contains(byte)) && escaped != b"\\N" && escaped != b"\\.");
});

/// Sessions in UTC and elsewhere.
struct Server {
    runtime: Runtime,
    utc: Session,
    elsewhere: Session,
}

struct Session {
    client: Client,
    statements: Vec<Option<Statement>>,
}

impl Server {
    fn given() -> Option<Server> {
        let conninfo = std::env::var("HYPERCOPY_FUZZ_SERVER").ok()?;
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let utc = runtime.block_on(Session::connect(&conninfo, "UTC"));
        let elsewhere = runtime.block_on(Session::connect(&conninfo, "America/New_York"));
        Some(Server { runtime, utc, elsewhere })
    }

    /// That the server reads what the encoder has; it cannot be asked about what is not text.
    fn judge(&self, kind: usize, input: &Input, value: &[u8]) {
        let session = if input.utc { &self.utc } else { &self.elsewhere };
        let (Some(statement), Ok(text)) = (&session.statements[kind], str::from_utf8(&input.text)) else { return };
        if text.contains('\0') {
            return;
        }
        let row = self.runtime.block_on(session.client.query_one(statement, &[&text]));
        let sent: Vec<u8> = row.expect("the server takes what the encoder takes").get(0);
        assert_eq!(sent, value, "as {}", TYPES[kind].0);
    }
}

impl Session {
    async fn connect(conninfo: &str, zone: &str) -> Session {
        let (client, connection) = tokio_postgres::connect(conninfo, NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.batch_execute(&format!("set timezone = '{zone}'")).await.expect("there is such a zone");
        let mut statements = Vec::new();
        for (name, send) in TYPES {
            let sql = format!("select {send}($1::text::{name})");
            statements.push(match send {
                "" => None,
                _ => Some(client.prepare_typed(&sql, &[Type::TEXT]).await.expect("the statement is one")),
            });
        }
        Session { client, statements }
    }
}
