//! What processes have cost, as Linux tells it.

use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

/// How often a client's memory is looked at; its peak is kept by the system, so only the last moments can be missed.
const POLL: Duration = Duration::from_millis(10);

/// Waits for a program, and answers the peak of its memory, too.
pub fn await_end(mut child: Child) -> (ExitStatus, u64) {
    let mut peak_bytes = 0;
    loop {
        peak_bytes = peak_memory_bytes(child.id()).unwrap_or(peak_bytes);
        match child.try_wait().expect("a child of ours") {
            Some(status) => return (status, peak_bytes),
            None => sleep(POLL),
        }
    }
}

/// `None` for a program that has ended.
fn peak_memory_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// CPU seconds of a process, of its living children and of those it has waited for.
pub fn family_cpu(parent: i32) -> f64 {
    let processes = std::fs::read_dir("/proc").expect("a Linux").flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let ticks: u64 = stats
        .filter_map(|stat| Stat::parse(&stat))
        .map(|stat| match (stat.pid == parent, stat.parent == parent) {
            (true, _) => stat.own + stat.children,
            (_, true) => stat.own,
            _ => 0,
        })
        .sum();
    seconds(ticks)
}

/// CPU seconds of the programs that this one has started and waited for.
pub fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux");
    seconds(Stat::parse(&stat).expect("a stat line").children)
}

struct Stat {
    pid: i32,
    parent: i32,
    own: u64,
    children: u64,
}

impl Stat {
    fn parse(line: &str) -> Option<Stat> {
        let (head, tail) = line.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |position: usize| fields.get(position)?.parse::<u64>().ok();
        Some(Stat {
            pid: head.split_once(' ')?.0.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

fn seconds(ticks: u64) -> f64 {
    Duration::from_millis(ticks * 10).as_secs_f64()
}
