//! Places where a test ends the process as `kill -9` would, to show that nothing is lost or doubled there.
//!
//! `HYPERCOPY_FAILPOINT=name` ends it at the first hit of that place, `name:3` at the third. Only debug builds look;
//! in a release build this is nothing.

/// The places that a migration passes.
pub const MIGRATE: &[&str] = &[
    "begin-before-statement",
    "begin-before-commit",
    "begin-after-commit",
    "chunks-before-batch",
    "chunks-after-batch",
    "before-claim",
    "after-claim",
    "mid-copy",
    "before-count-check",
    "before-commit",
    "after-commit",
    "before-settle",
    "finalize-before-step",
    "finalize-before-commit",
    "finalize-after-commit",
    "before-finish",
];

/// The places that a rechunk passes of a table that is written.
pub const RECHUNK: &[&str] = &[
    "begin-before-statement",
    "begin-before-commit",
    "begin-after-commit",
    "capture-before-commit",
    "capture-after-commit",
    "chunks-before-batch",
    "chunks-after-batch",
    "before-claim",
    "mid-copy",
    "before-commit",
    "after-commit",
    "finalize-before-step",
    "finalize-before-commit",
    "finalize-after-commit",
    "catch-up-before-commit",
    "catch-up-after-commit",
    "swap-before-commit",
    "swap-after-commit",
];

/// Those that it passes besides where continuous aggregates are made again.
pub const AGGREGATES: &[&str] = &["aggregates-before-commit", "aggregates-after-commit", "alone-before-mark"];

/// Those that it passes besides where there is a columnstore: when that is switched on, and for each chunk that is compressed.
pub const COMPRESS: &[&str] = &["compress-before-commit", "compress-after-commit"];

/// Those of giving it up.
pub const ABORT: &[&str] = &["abort-before-commit", "abort-after-commit", "drop-after-chunks"];

/// Those of undoing it.
pub const UNDO: &[&str] = &["undo-before-commit", "undo-after-commit", "drop-after-chunks"];

/// Those of dropping the old table, once that has begun.
pub const DROP_OLD: &[&str] = &["drop-after-capture", "drop-after-chunks", "drop-before-finish"];

/// Those of a dump.
pub const DUMP: &[&str] = &[
    "dump-before-begin",
    "dump-after-begin",
    "before-claim",
    "after-claim",
    "mid-copy",
    "before-count-check",
    "before-commit",
    "segment-after-name",
    "after-commit",
    "before-settle",
    "before-finish",
    "manifest-before-name",
    "manifest-after-name",
];

/// Ends the process here if the environment names this place.
#[inline]
pub fn hit(name: &'static str) {
    debug_assert!(
        [MIGRATE, RECHUNK, AGGREGATES, COMPRESS, ABORT, UNDO, DROP_OLD, DUMP].iter().any(|names| names.contains(&name)),
        "{name} is in a list"
    );
    #[cfg(debug_assertions)]
    armed::hit(name);
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// The place that was asked for, and how many hits are left.
    fn asked() -> Option<&'static (String, AtomicU32)> {
        static ASKED: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
        let read = || {
            let text = std::env::var("HYPERCOPY_FAILPOINT").ok()?;
            let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
            Some((name.to_string(), AtomicU32::new(count.parse().ok()?)))
        };
        ASKED.get_or_init(read).as_ref()
    }

    pub fn hit(name: &str) {
        if let Some((_, left)) = asked().filter(|(asked, _)| asked == name)
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
