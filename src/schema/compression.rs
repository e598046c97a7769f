//! Compresses chunks: each as soon as its last row is in, while others are filled, or all that are left.
//!
//! **Invariant:** which chunks, somebody else has decided; here is known only when each of them is full.

use std::collections::HashSet;
use std::sync::Mutex;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::{run, transaction};
use crate::catalog::{Chunk, Server};
use crate::connect::{Sessions, Target};
use crate::error::Result;
use crate::failpoint;
use crate::ledger::{self, Claim};
use crate::plan::{Statement, Task, policies};

/// The transaction of one chunk need not wait for the disk: what a crash forgets is compressed by the next run.
const BEGIN: &str = "begin isolation level read committed read write; set local synchronous_commit = off";

/// Chunks that wait for their last rows.
pub struct Compressor {
    claim: Claim,
    server: Server,
    waiting: Vec<Waiting>,
    /// Tasks that are committed.
    done: Mutex<HashSet<i32>>,
}

struct Waiting {
    chunk: Chunk,
    /// Tasks that may bring it rows.
    tasks: Vec<i32>,
}

impl Compressor {
    /// For these chunks, of which some wait for `tasks`. One that waits for none is left to [`compress_all`].
    pub fn new(claim: Claim, server: &Server, chunks: &[&Chunk], tasks: &[Task]) -> Self {
        let waiting = |chunk: &&Chunk| {
            let fills = |task: &&Task| task.range.overlaps(chunk.primary());
            let tasks: Vec<i32> = tasks.iter().filter(fills).map(|task| task.id).collect();
            Waiting { chunk: (*chunk).clone(), tasks }
        };
        Compressor {
            claim,
            server: server.clone(),
            waiting: chunks.iter().map(waiting).collect(),
            done: Mutex::default(),
        }
    }

    /// Compresses the chunks of which `task`, which is committed, was the last one to bring rows. Where this fails it may be
    /// done again.
    pub async fn follow(&self, target: &Target, task: &Task) -> Result<()> {
        for chunk in self.filled_by(task.id) {
            compress(target, self.claim, &self.server, chunk).await?;
        }
        Ok(())
    }

    /// Two tasks of one chunk may end at the same time, and one of them is told last.
    fn filled_by(&self, task: i32) -> Vec<&Chunk> {
        let mut done = self.done.lock().expect("no holder of the list panics");
        done.insert(task);
        let is_full =
            |waiting: &&Waiting| waiting.tasks.contains(&task) && waiting.tasks.iter().all(|task| done.contains(task));
        self.waiting.iter().filter(is_full).map(|waiting| &waiting.chunk).collect()
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

/// In one transaction with its mark in the ledger. Statistics come first: there will be no rows to read for them.
async fn compress(target: &Target, claim: Claim, server: &Server, chunk: &Chunk) -> Result<()> {
    let statement = policies::compress_chunk(chunk, server);
    let table = chunk.table();
    let analyze = Statement::new(format!("analyze {table}"), format!("analyze {}", table.sql()));
    let work = async || {
        ledger::repeat_step(target, claim, &statement.title).await?;
        run(target, &analyze).await?;
        run(target, &statement).await?;
        failpoint::hit("compress-before-commit");
        Ok(())
    };
    transaction(target, BEGIN, work).await?;
    failpoint::hit("compress-after-commit");
    Ok(())
}

/// Makes chunks ready for rows that are copied into them again.
pub async fn decompress_all(target: &Target, claim: Claim, server: &Server, chunks: &[&Chunk]) -> Result<()> {
    for chunk in chunks {
        let statement = policies::decompress_chunk(chunk, server);
        let work = async || {
            ledger::repeat_step(target, claim, &statement.title).await?;
            run(target, &statement).await
        };
        transaction(target, BEGIN, work).await?;
    }
    Ok(())
}
