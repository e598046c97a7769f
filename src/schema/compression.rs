//! Compresses chunks: each as soon as its last row is in, while others are filled, or all that are left.
//!
//! **Invariant:** which chunks, somebody else has decided; here is known only when each of them is full.

use std::sync::Mutex;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::{end, run};
use crate::catalog::{Chunk, Server};
use crate::connect::{Sessions, Target};
use crate::error::Result;
use crate::failpoint;
use crate::ledger::{self, Claim};
use crate::plan::{Filling, Statement, Task, policies};

/// The transaction of one chunk need not wait for the disk: what a crash forgets is compressed by the next run.
const BEGIN: &str = "begin isolation level read committed read write; set local synchronous_commit = off";

/// Compresses chunks as they get their last rows.
pub struct Compressor {
    claim: Claim,
    server: Server,
    filling: Mutex<Filling>,
}

impl Compressor {
    /// For these chunks, of which some wait for `tasks`. One that waits for none is left to [`compress_all`].
    pub fn new(claim: Claim, server: &Server, chunks: &[&Chunk], tasks: &[Task]) -> Self {
        Compressor { claim, server: server.clone(), filling: Mutex::new(Filling::new(chunks, tasks)) }
    }

    /// Compresses the chunks of which `task`, which is committed, was the last one to bring rows. Where this fails it may be
    /// done again.
    pub async fn follow(&self, target: &Target, task: i32) -> Result<()> {
        let full = self.filling.lock().expect("no holder of the list panics").filled_by(task);
        for chunk in &full {
            compress(target, self.claim, &self.server, chunk).await?;
        }
        Ok(())
    }
}

/// Compresses chunks, at most `at_once` at the same time.
pub async fn compress_all(
    sessions: &Sessions,
    claim: Claim,
    server: &Server,
    chunks: &[&Chunk],
    at_once: usize,
) -> Result<()> {
    let turns = Semaphore::new(at_once);
    let compress = async |chunk: &&Chunk| {
        let _turn = turns.acquire().await;
        sessions.with(async |session| compress(session, claim, server, chunk).await).await
    };
    try_join_all(chunks.iter().map(compress)).await.map(drop)
}

/// Statistics come first: there will be no rows to read for them.
async fn compress(target: &Target, claim: Claim, server: &Server, chunk: &Chunk) -> Result<()> {
    let table = chunk.table();
    let analyze = Statement::new(format!("analyze {table}"), format!("analyze {}", table.sql()));
    rewrite(target, claim, &[analyze, policies::compress_chunk(chunk, server)]).await?;
    failpoint::hit("compress-after-commit");
    Ok(())
}

/// Makes chunks ready for rows that are copied into them again.
pub async fn decompress_all(target: &Target, claim: Claim, server: &Server, chunks: &[&Chunk]) -> Result<()> {
    for chunk in chunks {
        rewrite(target, claim, &[policies::decompress_chunk(chunk, server)]).await?;
    }
    Ok(())
}

/// Runs statements that may be run again, in one transaction with a mark in the ledger for the last of them.
async fn rewrite(target: &Target, claim: Claim, statements: &[Statement]) -> Result<()> {
    target.batch(BEGIN).await?;
    end(target, run_and_mark(target, claim, statements).await).await
}

async fn run_and_mark(target: &Target, claim: Claim, statements: &[Statement]) -> Result<()> {
    if let Some(last) = statements.last() {
        ledger::repeat_step(target, claim, &last.title).await?;
    }
    for statement in statements {
        run(target, statement).await?;
    }
    failpoint::hit("compress-before-commit");
    Ok(())
}
