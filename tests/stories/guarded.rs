//! A server of a story's own whose doors are closed: certificates, and rules about who may come in how.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use hypercopy::cluster::{Cluster, Installation, Release, Settings};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::harness::wait_until;

/// A cluster of Debian trixie, and its superuser, who needs neither TLS nor a password.
pub struct Guarded {
    pub cluster: Cluster,
    runtime: Runtime,
    administrator: Client,
}

impl Guarded {
    /// A server that lets everybody in.
    pub fn new(name: &str) -> Guarded {
        let installation =
            Installation::debian(Release::Trixie).expect("trixie can be had").expect("it has TimescaleDB");
        let settings = Settings::new(format!("stories-{name}")).fsync(false).parameter("listen_addresses", "*");
        let cluster = Cluster::start(&installation, settings).expect("the cluster starts");
        let runtime = Runtime::new().expect("a runtime starts");
        let administrator = connect(&runtime, &cluster, "postgres");
        Guarded { cluster, runtime, administrator }
    }

    /// Another session of the superuser.
    pub fn session(&self, database: &str) -> Client {
        connect(&self.runtime, &self.cluster, database)
    }

    /// Runs statements as the superuser, in database `postgres`.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        self.run_in(&self.administrator, sql);
    }

    /// Runs statements in a session.
    #[track_caller]
    pub fn run_in(&self, session: &Client, sql: &str) {
        self.wait(session.batch_execute(sql)).unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
    }

    /// The one value that a query answers in a session.
    #[track_caller]
    pub fn value_in(&self, session: &Client, sql: &str) -> String {
        self.wait(session.query_one(sql, &[])).unwrap_or_else(|error| panic!("{error:?}\nin: {sql}")).get(0)
    }

    /// Waits for something asynchronous.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Puts rules before those of `pg_hba.conf`.
    pub fn add_rules(&self, rules: &str) {
        let file = self.cluster.data_directory().join("pg_hba.conf");
        let others = std::fs::read_to_string(&file).expect("the rules can be read");
        std::fs::write(&file, format!("{rules}\n{others}")).expect("the rules can be written");
        self.reload();
    }

    /// From now on the server has this certificate, in PEM, and so TLS.
    pub fn certify(&self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            self.write(name, text);
        }
        self.run("alter system set ssl = on");
        self.reload();
    }

    /// Writes a file of the data directory, which is the server's.
    pub fn write(&self, name: &str, text: &str) {
        let owner = std::fs::metadata(self.cluster.data_directory()).expect("the data directory is there");
        let path: PathBuf = self.cluster.data_directory().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("its owner can be set");
    }

    /// Makes the server read its files again; sessions that begin behind this see what they say.
    pub fn reload(&self) {
        let loaded = || self.value_in(&self.session("postgres"), "select pg_conf_load_time()::text");
        let before = loaded();
        self.run("select pg_reload_conf()");
        wait_until("the server's configuration to be loaded", || loaded() != before);
    }

    /// Where its socket is.
    pub fn socket_directory(&self) -> String {
        let directory = self.cluster.data_directory();
        directory.parent().and_then(|parent| parent.to_str()).expect("the path is text").to_string()
    }
}

fn connect(runtime: &Runtime, cluster: &Cluster, database: &str) -> Client {
    let conninfo = format!("{} sslmode=disable", cluster.conninfo(database));
    let (client, connection) = runtime.block_on(tokio_postgres::connect(&conninfo, NoTls)).expect("the server answers");
    runtime.spawn(connection);
    client
}
