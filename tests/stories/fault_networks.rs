//! What happens to connections while rows are copied: they are cut, answers are lost, and peers fall silent.

use crate::faults::{
    assert_complete, assert_finished, assert_given_up, command_by, complete, gated, proxied, run_to_the_gate,
};
use crate::harness::{Hold, Run, Running, Story};
use crate::proxy::{COMMIT, Fault, Proxy, Trigger, Way};

/// One fault in the middle of a run. Before the job has begun that ends the run, and costs nothing; after that the run
/// goes on by itself.
#[track_caller]
fn run_through(story: &Story, proxy: &(Proxy, &str), trigger: Trigger, fault: Fault) {
    proxy.0.arm(trigger, fault);
    let run = Running::start(command_by(proxy, story, &[])).end();
    let what = format!("{} {trigger:?} {fault:?}", proxy.1);
    assert!(proxy.0.has_struck(), "{what} is never reached");
    if run.code != 0 {
        assert_eq!(run.json()["job"], serde_json::Value::Null, "{what}: {}", run.stderr);
        assert_eq!(run.code, if proxy.1 == "HYPERCOPY_SOURCE" { 4 } else { 5 }, "{what}: {}", run.stderr);
        assert!(run.stderr.contains("connection closed") || run.stderr.contains("cannot connect"), "{}", run.stderr);
        let run = Running::start(command_by(proxy, story, &[])).end();
        assert_eq!(run.code, 0, "{what}: {}", run.stderr);
    }
    assert_complete(story);
    story.target.run("drop table metrics");
}

#[test]
fn a_source_that_is_cut_off_at_any_byte_is_read_on() {
    let story = gated(Story::new("cut_source"));
    let proxy = proxied(&story, true);
    for (bytes, fault) in
        [(30_000, Fault::Reset), (100_000, Fault::Close), (1 << 20, Fault::HalfClose), (22 << 20, Fault::Reset)]
    {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToClient, bytes), fault);
    }
    for (bytes, fault) in [(20_000, Fault::HalfClose), (38_000, Fault::Close)] {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToServer, bytes), fault);
    }
}

#[test]
fn a_target_that_is_cut_off_at_any_byte_is_written_on() {
    let story = gated(Story::new("cut_target"));
    let proxy = proxied(&story, false);
    for (bytes, fault) in
        [(30_000, Fault::Close), (100_000, Fault::Reset), (12 << 20, Fault::HalfClose), (22 << 20, Fault::Close)]
    {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToServer, bytes), fault);
    }
    for (bytes, fault) in [(20_000, Fault::Reset), (25_000, Fault::HalfClose), (1 << 20, Fault::Close)] {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToClient, bytes), fault);
    }
}

/// Of each commit of a run the answer is lost on its way back; of some, the commit itself on its way to the server.
#[test]
fn a_commit_whose_answer_is_lost_is_done_once() {
    let story = gated(Story::new("commit"));
    let proxy = proxied(&story, false);
    let lose = |trigger: Trigger| {
        proxy.0.arm(trigger, Fault::Close);
        let run = Running::start(command_by(&proxy, &story, &[])).end();
        assert_eq!(run.code, 0, "{trigger:?}: {}", run.stderr);
        assert_finished(&story, &run);
        story.target.run("drop table metrics");
        proxy.0.has_struck()
    };
    let commits = (1..).take_while(|number| lose(Trigger::Answer(COMMIT, *number))).count();
    assert!(commits > 6, "a run commits each task, step and state, and not {commits} times");
    for number in (1..commits).step_by(3) {
        assert!(lose(Trigger::Before(COMMIT, number)), "{number}");
    }
}

/// The same where a done task is copied again, which begins with deleting what is there.
#[test]
fn a_lost_answer_does_not_delete_or_copy_twice() {
    let story = gated(Story::new("again"));
    let proxy = proxied(&story, false);
    // The first two are those of the job's taking over.
    for number in 3..6 {
        let gate = Hold::gate(&story.target);
        let killed = run_to_the_gate(&story, &[]);
        killed.signal("-KILL");
        killed.end();
        gate.open();
        story.source.run(&format!("update metrics set value = {number} where device = 1"));
        proxy.0.arm(Trigger::Answer(COMMIT, number), Fault::Reset);
        let run = Running::start(command_by(&proxy, &story, &[])).end();
        assert!(proxy.0.has_struck(), "{number}");
        assert_finished(&story, &run);
        assert_eq!(run.json()["resumed"]["copied_again"], 3, "{}", run.stdout);
        story.target.run("drop table metrics");
    }
}

// A peer that is gone without a word, for one connection or for all of them.

fn stalled(name: &str, is_source: bool, way: Way, bytes: usize, fault: Fault) -> (Story, Run) {
    let story = gated(Story::new(name));
    let proxy = proxied(&story, is_source);
    proxy.0.arm(Trigger::Bytes(way, bytes), fault);
    let run = Running::start(command_by(&proxy, &story, &["--retry-for", "2s"])).end();
    assert!(proxy.0.has_struck());
    (story, run)
}

#[test]
fn a_source_connection_that_stalls_is_replaced() {
    let (story, run) = stalled("stalled_source", true, Way::ToClient, 12 << 20, Fault::Stall);
    assert_finished(&story, &run);
}

#[test]
fn a_target_connection_that_stalls_is_replaced() {
    let (story, run) = stalled("stalled_target", false, Way::ToServer, 12 << 20, Fault::Stall);
    assert_finished(&story, &run);
}

#[test]
fn a_source_that_falls_silent_is_given_up() {
    let (story, run) = stalled("silent_source", true, Way::ToClient, 12 << 20, Fault::Silence);
    assert_given_up(&run);
    complete(&story, &[]);
}

#[test]
fn a_target_that_falls_silent_is_given_up() {
    let (story, run) = stalled("silent_target", false, Way::ToServer, 12 << 20, Fault::Silence);
    assert_given_up(&run);
    complete(&story, &[]);
}
