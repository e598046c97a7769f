//! TLS: what travels encrypted, and that certificates are verified.

use tokio_postgres::Client;

use crate::guarded::Guarded;
use crate::harness::{Run, Story, multiset_sql};

const CERTIFICATE: &str = include_str!("tls/server.crt");
/// Of a certificate that no server but these has.
const KEY: &str = include_str!("tls/server.key");

/// On the target every session that stores a row is asked whether it is encrypted.
const ENCRYPTED: &str = "
    create extension timescaledb;
    create function encrypted() returns boolean language sql as
    'select current_database() = ''one'' or (select ssl from pg_stat_ssl where pid = pg_backend_pid())';";

const METRICS: &str = "
    create table metrics (time timestamptz not null, device int, note text, constraint encrypted check (encrypted()));
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');";

const ROWS: &str = "
    insert into metrics select '2025-03-01'::timestamptz + n * interval '1 minute', n % 7, repeat(md5(n::text), 30)
    from generate_series(0, 9999) n";

fn path(file: &str) -> String {
    format!("{}/tests/stories/tls/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn rows_travel_encrypted_and_certificates_are_verified() {
    let (story, server) = (Story::new("tls"), Guarded::new("tls"));
    let conninfo = |database: &str, mode: &str| format!("{} sslmode={mode}", server.cluster.conninfo(database));
    let migrate = |root: &str, mode: &str, arguments: &[&str]| {
        let mut command = story.command(&[&["migrate", "metrics", "-j", "2"], arguments].concat());
        command.env("HYPERCOPY_SOURCE", conninfo("one", mode)).env("HYPERCOPY_TARGET", conninfo("two", mode));
        Run::of(command.env("PGSSLROOTCERT", path(root)).output().expect("the program starts"))
    };
    for database in ["one", "two"] {
        server.run(&format!("create database {database}"));
        server.run_in(&server.session(database), ENCRYPTED);
    }
    let (source, target) = (server.session("one"), server.session("two"));
    server.run_in(&source, METRICS);
    server.run_in(&source, ROWS);

    let refused = migrate("ca.crt", "require", &[]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("server does not support SSL, but SSL was required"), "{}", refused.stderr);

    server.certify(CERTIFICATE, KEY);
    let refused = migrate("other.crt", "require", &[]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("invalid peer certificate"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: The certificate is verified against sslrootcert"), "{}", refused.stderr);

    for mode in ["require", "prefer"] {
        let migrated = migrate("ca.crt", mode, &["--verify", "checksum", "--restart"]);
        assert_eq!(migrated.code, 0, "{mode}: {}", migrated.stderr);
        let multiset = |client: &Client| server.value_in(client, &multiset_sql("metrics"));
        assert_eq!(multiset(&source), multiset(&target), "{mode}");
    }
    let refused = migrate("ca.crt", "disable", &["--as", "other"]);
    assert_eq!(refused.code, 5, "what is not encrypted is noticed: {}", refused.stderr);
    assert!(refused.stderr.contains("encrypted"), "{}", refused.stderr);
}
