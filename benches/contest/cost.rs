//! What processes have cost, as Linux tells it.

use std::time::Duration;

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
