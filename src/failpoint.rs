//! Places where a test ends the process as `kill -9` would, to show that nothing is lost or doubled there.
//!
//! `HYPERCOPY_FAILPOINT=name` ends it at the first hit of that place, `name:3` at the third. Only debug builds look;
//! in a release build this is nothing.

/// Every place that has a name.
pub const NAMES: &[&str] = &[
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
    "capture-before-commit",
    "capture-after-commit",
    "catch-up-before-commit",
    "catch-up-after-commit",
    "swap-before-commit",
    "swap-after-commit",
    "abort-before-commit",
    "abort-after-commit",
    "undo-before-commit",
    "undo-after-commit",
    "drop-after-capture",
    "drop-after-chunks",
];

/// Ends the process here if the environment names this place.
#[inline]
pub fn hit(name: &'static str) {
    debug_assert!(NAMES.contains(&name), "{name} is in the list");
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
