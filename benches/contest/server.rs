//! A throwaway server with the table.

use std::process::Command;

use hypercopy::cluster::{Cluster, Installation, Settings};
use hypercopy::connect::{Conninfo, Target};

use super::cost;

/// The shape of the data is that of the TSBS cpu metrics: 10 floats with 17 digits for each of 4,000 hosts.
const TABLE: &str = "
    create table public.cpu (
        time timestamptz not null, tags_id integer, hostname text,
        usage_user double precision, usage_system double precision, usage_idle double precision,
        usage_nice double precision, usage_iowait double precision, usage_irq double precision,
        usage_softirq double precision, usage_steal double precision, usage_guest double precision,
        usage_guest_nice double precision)";
const INDEXES: [&str; 2] = [
    "create index cpu_time_idx on public.cpu (time desc)",
    "create index cpu_tags_idx on public.cpu (tags_id, time desc)",
];

pub struct Server {
    pub cluster: Cluster,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn start(installation: &Installation, name: &str) -> Server {
        let settings = Settings::new(name).parameter("shared_buffers", "2GB").parameter("max_wal_size", "8GB");
        let server = Server {
            cluster: Cluster::start(installation, settings).expect("a cluster"),
            runtime: tokio::runtime::Runtime::new().expect("a runtime"),
        };
        server.sql("create extension timescaledb with schema public");
        server
    }

    /// The table as a hypertable without indexes.
    pub fn create_table(&self, interval: &str) {
        self.sql(TABLE);
        self.sql(&format!("select public.create_hypertable('public.cpu', 'time', chunk_time_interval => interval '{interval}', create_default_indexes => false)"));
    }

    pub fn create_indexes(&self) {
        INDEXES.iter().for_each(|index| self.sql(index));
    }

    /// Ten days in 4,000 hosts, whatever the number of rows, in the order of time.
    pub fn make_rows(&self, rows: usize) {
        self.sql(&format!(
            "insert into public.cpu select timestamptz '2025-01-01 00:00:00+00' + (n / 4000) * (interval '10 days' / ({rows} / 4000 + 1)),
                n % 4000, 'host_' || n % 4000, random() * 100, random() * 100, random() * 100, random() * 100,
                random() * 100, random() * 100, random() * 100, random() * 100, random() * 100, random() * 100
             from generate_series(0, {rows} - 1) n"
        ));
    }

    pub fn drop_table(&self) {
        self.sql("drop table if exists public.cpu cascade");
    }

    /// Number of rows and a sum over all of them, computed by the server.
    pub fn fingerprint(&self) -> (String, String) {
        let sql = "select count(*)::text, sum(hash_record_extended(t, 0)::numeric)::text from public.cpu t";
        self.runtime.block_on(async {
            let row = self.session().await.row(sql, &[]).await.expect("a row");
            (row.get(0), row.get(1))
        })
    }

    pub fn sql(&self, sql: &str) {
        self.runtime.block_on(async {
            self.session().await.batch(sql).await.unwrap_or_else(|error| panic!("{error:?}"));
        });
    }

    async fn session(&self) -> Target {
        let conninfo = Conninfo::parse(&self.conninfo(), |_| None).expect("a conninfo");
        Target::open(&conninfo, "bench").await.expect("a session")
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
