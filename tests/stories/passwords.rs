//! Passwords of libpq's password file, on a server that asks for them.

use std::os::unix::fs::PermissionsExt;

use crate::folders::File;
use crate::guarded::Guarded;
use crate::harness::{Run, Story};

const CANARY: &str = "kanarien:vogel";

#[test]
fn the_password_file_is_read_and_shown_nowhere() {
    let (story, server) = (Story::new("passfile"), Guarded::new("passfile"));
    server.run(&format!("create extension timescaledb; create role pat superuser login password '{CANARY}'"));
    server.add_rules("host all pat all scram-sha-256");

    story.source.run(
        "create table metrics (time timestamptz not null, device int);
         select create_hypertable('metrics', 'time');
         insert into metrics values ('2025-03-01', 1)",
    );
    let target = server.cluster.conninfo("postgres").replace("user=postgres", "user=pat");
    let file = File::new("passfile");
    let escaped = CANARY.replace(':', "\\:");
    std::fs::write(
        file.path(),
        format!("elsewhere:*:*:*:wrong\n127.0.0.1:{}:*:pat:{escaped}\n", server.cluster.port()),
    )
    .expect("the file can be written");
    let migrate = |mode: u32| {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).expect("its mode can be set");
        let mut command = story.command(&["migrate", "metrics", "--json", "-v"]);
        command.env("HYPERCOPY_TARGET", &target).env("PGPASSFILE", file.path()).env("RUST_BACKTRACE", "1");
        let run = Run::of(command.output().expect("the program starts"));
        for part in ["kanarien", "vogel"] {
            assert!(!format!("{}{}", run.stdout, run.stderr).contains(part), "{}{}", run.stdout, run.stderr);
        }
        run
    };
    let open_to_all = migrate(0o644);
    assert_eq!(open_to_all.code, 5, "as libpq does, a file that others may read is left alone: {}", open_to_all.stderr);
    assert!(open_to_all.stderr.contains("warning: password file"), "{}", open_to_all.stderr);
    let migrated = migrate(0o600);
    assert_eq!(migrated.code, 0, "{}", migrated.stderr);
    let shown = server.value_in(
        &server.session("postgres"),
        "select (select string_agg(job::text, '') from _hypercopy.job) || (select count(*) from metrics)",
    );
    assert!(shown.ends_with('1') && !shown.contains("kanarien"), "{shown}");
}
