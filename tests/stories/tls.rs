//! TLS: what travels encrypted, and that certificates are verified.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use hypercopy::cluster::{Cluster, Installation, Release, Settings};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

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

/// A cluster whose server has the certificate.
fn cluster() -> Cluster {
    let installation = Installation::debian(Release::Trixie).expect("trixie can be had").expect("it has TimescaleDB");
    let cluster = Cluster::start(&installation, Settings::new("stories-tls").fsync(false)).expect("the cluster starts");
    let owner = std::fs::metadata(cluster.data_directory()).expect("the data directory is there");
    for (name, text) in [("server.crt", CERTIFICATE), ("server.key", KEY)] {
        let path = cluster.data_directory().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("its owner can be set");
    }
    cluster
}

fn connect(runtime: &Runtime, conninfo: &str) -> Client {
    let (client, connection) = runtime.block_on(tokio_postgres::connect(conninfo, NoTls)).expect("the server answers");
    runtime.spawn(connection);
    client
}

fn path(file: &str) -> String {
    format!("{}/tests/stories/tls/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn rows_travel_encrypted_and_certificates_are_verified() {
    let story = Story::new("tls");
    let (cluster, runtime) = (cluster(), Runtime::new().expect("a runtime starts"));
    let conninfo = |database: &str, mode: &str| format!("{} sslmode={mode}", cluster.conninfo(database));
    let run = |client: &Client, sql: &str| runtime.block_on(client.batch_execute(sql)).expect("the statement runs");
    let administrator = connect(&runtime, &conninfo("postgres", "disable"));
    let migrate = |root: &str, mode: &str, arguments: &[&str]| {
        let mut command = story.command(&[&["migrate", "metrics", "-j", "2"], arguments].concat());
        command.env("HYPERCOPY_SOURCE", conninfo("one", mode)).env("HYPERCOPY_TARGET", conninfo("two", mode));
        Run::of(command.env("PGSSLROOTCERT", path(root)).output().expect("the program starts"))
    };
    for database in ["one", "two"] {
        run(&administrator, &format!("create database {database}"));
        run(&connect(&runtime, &conninfo(database, "disable")), ENCRYPTED);
    }
    let source = connect(&runtime, &conninfo("one", "disable"));
    run(&source, METRICS);
    run(&source, ROWS);

    let refused = migrate("ca.crt", "require", &[]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("server does not support TLS"), "{}", refused.stderr);

    for setting in ["ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", "ssl = on"] {
        run(&administrator, &format!("alter system set {setting}"));
    }
    run(&administrator, "select pg_reload_conf()");
    let refused = migrate("other.crt", "prefer", &[]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("invalid peer certificate"), "{}", refused.stderr);
    assert!(refused.stderr.contains("PGSSLROOTCERT"), "{}", refused.stderr);

    for mode in ["require", "prefer"] {
        let migrated = migrate("ca.crt", mode, &["--verify", "checksum", "--restart"]);
        assert_eq!(migrated.code, 0, "{mode}: {}", migrated.stderr);
        let target = connect(&runtime, &conninfo("two", "disable"));
        let multiset = |client: &Client| {
            runtime.block_on(client.query_one(&multiset_sql("metrics"), &[])).unwrap().get::<_, String>(0)
        };
        assert_eq!(multiset(&source), multiset(&target), "{mode}");
    }
    let refused = migrate("ca.crt", "disable", &["--as", "other"]);
    assert_eq!(refused.code, 5, "what is not encrypted is noticed: {}", refused.stderr);
    assert!(refused.stderr.contains("encrypted"), "{}", refused.stderr);
}
