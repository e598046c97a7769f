//! A throwaway server with the table.

use std::process::Command;

use hypercopy::cluster::{Cluster, Installation, Settings};
use hypercopy::connect::{Conninfo, Target};

use super::cost;
use super::shape::{INDEXES, Shape};

pub struct Server {
    pub cluster: Cluster,
    shape: Shape,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn start(installation: &Installation, name: &str, shape: Shape) -> Server {
        let settings = Settings::new(name).parameter("shared_buffers", "2GB").parameter("max_wal_size", "8GB");
        let server = Server {
            cluster: Cluster::start(installation, settings).expect("a cluster"),
            shape,
            runtime: tokio::runtime::Runtime::new().expect("a runtime"),
        };
        server.sql("create extension timescaledb with schema public");
        server
    }

    /// The table as a hypertable without indexes.
    pub fn create_table(&self, interval: &str) {
        self.shape.create(interval).iter().for_each(|statement| self.sql(statement));
    }

    pub fn create_indexes(&self) {
        INDEXES.iter().for_each(|index| self.sql(index));
    }

    pub fn make_rows(&self, rows: usize) {
        self.sql(&self.shape.insert(rows));
    }

    /// Makes every chunk that the rows will need, as a person has to where the edition has no `create_chunk`.
    pub fn make_chunks(&self) {
        self.shape.touch().iter().for_each(|statement| self.sql(statement));
    }

    /// The database anew, with nothing in it but the extension.
    pub fn renew(&self) {
        let administrator = self.cluster.conninfo("template1");
        for statement in ["drop database if exists postgres with (force)", "create database postgres"] {
            self.sql_on(&administrator, statement);
        }
        self.sql("create extension timescaledb with schema public");
    }

    pub fn drop_table(&self) {
        self.sql("drop table if exists public.cpu cascade");
    }

    /// Number of rows and a sum over all of them, computed by the server.
    pub fn fingerprint(&self) -> (String, String) {
        let sql =
            "select count(*)::text, coalesce(sum(hash_record_extended(t, 0)::numeric), 0)::text from public.cpu t";
        self.runtime.block_on(async {
            let row = open(&self.conninfo()).await.row(sql, &[]).await.expect("a row");
            (row.get(0), row.get(1))
        })
    }

    /// How far the log has been written, in bytes.
    pub fn wal_bytes(&self) -> u64 {
        let sql = "select (pg_current_wal_insert_lsn() - '0/0')::int8";
        self.runtime.block_on(async {
            let row = open(&self.conninfo()).await.row(sql, &[]).await.expect("a row");
            row.get::<_, i64>(0) as u64
        })
    }

    pub fn sql(&self, sql: &str) {
        self.sql_on(&self.conninfo(), sql);
    }

    fn sql_on(&self, conninfo: &str, sql: &str) {
        self.runtime.block_on(async {
            open(conninfo).await.batch(sql).await.unwrap_or_else(|error| panic!("{error:?}"));
        });
    }

    pub fn conninfo(&self) -> String {
        self.cluster.conninfo("postgres")
    }

    /// psql, which does one thing on this server.
    pub fn psql(&self, command: &str) -> Command {
        let mut psql = Command::new(self.cluster.installation().program("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", command, &self.conninfo()]);
        psql
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> f64 {
        cost::family_cpu(self.cluster.postmaster_pid().expect("a postmaster"))
    }
}

async fn open(conninfo: &str) -> Target {
    let conninfo = Conninfo::parse(conninfo, |_| None).expect("a conninfo");
    Target::open(&conninfo, "bench").await.expect("a session")
}
