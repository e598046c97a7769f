//! `hypercopy demo`: the shortest way to see it work.

use std::time::Duration;

use hypercopy::cluster::{Cluster, Installation, Settings};
use hypercopy::connect::{Conninfo, Target};
use hypercopy::error::{Error, Kind, Result};
use hypercopy::ident::quote_ident;
use hypercopy::migrate::{IfExists, Origin, Parts, Request, Resume};
use hypercopy::plan::HashRequest;
use hypercopy::verify::Mode;

use crate::args::{DemoArguments, OutputArguments, ProgressArgument, conninfo, default_jobs};
use crate::migrate;

/// Where the two sides of the demo are.
struct Stage {
    source: String,
    target: String,
    clusters: Vec<Cluster>,
    /// A server of the user's, and the databases made in it.
    borrowed: Option<(String, [String; 2])>,
}

pub async fn run(arguments: DemoArguments) -> Result<()> {
    let stage = Stage::set().await?;
    let shown = show(&stage, arguments.rows).await;
    stage.strike(arguments.keep && shown.is_ok()).await?;
    shown
}

async fn show(stage: &Stage, rows: u64) -> Result<()> {
    say(&format!("filling the hypertable conditions with {rows} rows, in chunks of 12 hours"));
    fill(&parse(&stage.source)?, rows).await?;
    say("migrating it into chunks of 1 day in 2 hash partitions, with 2 indexes, verified by checksum:");
    say(
        "  hypercopy migrate --source … --target … conditions --chunk-interval '1 day' --hash-partitions device:2 --verify checksum",
    );
    let request = Request {
        origin: Origin::Table { conninfo: Box::new(parse(&stage.source)?), name: "conditions".into() },
        target: parse(&stage.target)?,
        target_table: None,
        parts: Parts::All,
        chunk_interval: Some("1 day".into()),
        hash_partitions: Some(HashRequest::Column { column: "device".into(), partitions: 2 }),
        preserve_chunks: false,
        compress: None,
        from: None,
        until: None,
        max_new_chunks: 10_000,
        jobs: default_jobs(),
        verify: Mode::Checksum,
        with_dependencies: false,
        strict: false,
        resume: Resume::default(),
        restart: false,
        if_exists: IfExists::default(),
        retry_for: Duration::from_secs(60),
        yield_after: None,
        dry_run: false,
        repair: None,
    };
    let options =
        OutputArguments { json: false, report: None, progress: ProgressArgument::Auto, quiet: false, verbose: false };
    migrate::execute(request, Duration::from_secs(10), &options).await
}

async fn fill(source: &Conninfo, rows: u64) -> Result<()> {
    let session = Target::open(source, "demo").await?;
    session.batch(include_str!("demo.sql")).await?;
    let rows = i64::try_from(rows).map_err(|_| Error::new(Kind::Usage, "--rows is too large"))?;
    session.execute(include_str!("demo_rows.sql"), &[&rows]).await?;
    session.batch("analyze public.conditions").await
}

impl Stage {
    async fn set() -> Result<Stage> {
        match std::env::var("HYPERCOPY_CLUSTER") {
            Ok(server) if !server.is_empty() => Stage::borrow(server).await,
            _ => Stage::build().await,
        }
    }

    /// Two clusters of our own.
    async fn build() -> Result<Stage> {
        say("looking for a TimescaleDB to run (the first time this may download Debian's packages)");
        let installation = Installation::any()?;
        say(&format!("using {}", installation.description()));
        let mut clusters = Vec::new();
        for name in ["demo-source", "demo-target"] {
            let cluster = Cluster::start(&installation, Settings::new(name))?;
            let session = Target::open(&parse(&cluster.conninfo("postgres"))?, "demo").await?;
            session.batch("create database demo").await?;
            create_extension(&cluster.conninfo("demo")).await?;
            clusters.push(cluster);
        }
        let [source, target] = [0, 1].map(|side: usize| clusters[side].conninfo("demo"));
        Ok(Stage { source, target, clusters, borrowed: None })
    }

    /// Two databases in a server of the user's.
    async fn borrow(server: String) -> Result<Stage> {
        let administrator = Target::open(&conninfo("HYPERCOPY_CLUSTER", &server)?, "demo").await?;
        say(&format!("using the server at {}", administrator.endpoint()));
        let databases = ["source", "target"].map(|side| format!("hypercopy_demo_{}_{side}", std::process::id()));
        let mut ends = Vec::new();
        for database in &databases {
            administrator.batch(&format!("create database {}", quote_ident(database))).await?;
            let end = format!("{server} dbname={database}");
            create_extension(&end).await?;
            ends.push(end);
        }
        let target = ends.pop().unwrap_or_default();
        let source = ends.pop().unwrap_or_default();
        Ok(Stage { source, target, clusters: Vec::new(), borrowed: Some((server, databases)) })
    }

    /// Takes everything away, or says where it is.
    async fn strike(self, keep: bool) -> Result<()> {
        if keep {
            say("\nkept:");
            say(&format!("  source  psql '{}'", self.source));
            say(&format!("  target  psql '{}'", self.target));
            for cluster in self.clusters {
                say(&format!("  stop    {}", cluster.keep()?));
            }
        } else if let Some((server, databases)) = self.borrowed {
            let administrator = Target::open(&parse(&server)?, "demo").await?;
            for database in databases {
                administrator.batch(&format!("drop database {} with (force)", quote_ident(&database))).await?;
            }
        }
        Ok(())
    }
}

async fn create_extension(end: &str) -> Result<()> {
    Target::open(&parse(end)?, "demo")
        .await?
        .batch("create extension if not exists timescaledb with schema public")
        .await
}

fn parse(text: &str) -> Result<Conninfo> {
    conninfo("the demo's conninfo", text)
}

fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
