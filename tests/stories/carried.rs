//! What belongs to a table, on its way: under another name, by an ordinary role, through kills, out of a forged archive.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use serde_json::json;

use crate::archives::Archive;
use crate::harness::{Role, Server, Story};
use crate::zoo::{Described, not_carried};

/// What the table needs and does not bring.
const BOTH: &str = "
    create table devices (id int primary key); insert into devices select generate_series(0, 4);
    create table events (device int, time timestamptz); insert into events values (1, '2025-01-01 01:00+00');
    create function noted() returns trigger language plpgsql as 'begin raise exception ''seen''; end';
    create publication rows_of;";

/// A table with one of everything, in every step.
const METRICS: &str = r#"
    create table t (time timestamptz not null, device int not null, value float8, note text, id int generated always as identity,
        primary key (device, time));
    select create_hypertable('t', 'time', chunk_time_interval => interval '7 days');
    insert into t select '2025-01-01 00:00+00'::timestamptz + n * interval '1 hour', n % 5, n, 'note' from generate_series(1, 500) n;
    create index t_half on t (device, (value / 2));
    alter index t_half alter column 2 set statistics 400;
    alter table t set (fillfactor = 60, toast.autovacuum_enabled = off), alter note set statistics 17;
    alter table t cluster on t_half; alter table t replica identity full;
    comment on table t is 'a table'; comment on index t_half is 'half';
    create statistics t_pair on device, note from t;
    grant select on t to public; revoke truncate on t from current_user;
    create policy mine on t using (device in (select device from t where value > 0));
    alter table t enable row level security;
    alter table t add constraint to_devices foreign key (device) references devices on delete cascade;
    alter table events add constraint of_t foreign key (device, time) references t;
    create trigger noted before insert or update of note on t for each row execute function noted();
    alter publication rows_of add table t;"#;

/// Both sides with what the table needs, and the table.
fn story(name: &str) -> Story {
    let story = Story::new(name);
    story.target.run(BOTH);
    story.source.run(&format!("{BOTH} {METRICS} alter table t force row level security"));
    story
}

#[track_caller]
fn assert_all_there(story: &Story, before: &Described, what: &str) {
    let after = Described::read(&story.target, "t");
    assert_eq!(before.differences(&after), Vec::new(), "{what}");
}

#[test]
fn a_run_that_is_killed_at_any_of_its_steps_goes_on() {
    let story = story("carried_killed");
    let before = Described::read(&story.source, "t");
    for step in 1.. {
        let place = ["finalize-before-commit", "finalize-after-commit"][step % 2];
        let mut command = story.command(&["migrate", "t", "-q"]);
        command.env("HYPERCOPY_FAILPOINT", format!("{place}:{step}")).stderr(Stdio::null());
        let ended = command.status().expect("the program starts");
        if ended.success() {
            assert!(step > 10, "only {step} steps");
            break;
        }
        assert_eq!(ended.signal(), Some(9), "{place}:{step}");
        let report = story.migrate("t", &[]);
        assert_eq!(not_carried(&report), [""; 0], "{place}:{step}");
        assert_all_there(&story, &before, &format!("{place}:{step}"));
        story.target.run("alter table events drop constraint of_t; drop table t");
    }
    assert_all_there(&story, &before, "never killed");
}

#[test]
fn what_an_unfinished_job_has_made_is_taken_back_by_a_restart() {
    let story = story("carried_restart");
    let before = Described::read(&story.source, "t");
    let mut command = story.command(&["migrate", "t", "-q"]);
    command.env("HYPERCOPY_FAILPOINT", "before-finish").stderr(Stdio::null());
    assert_eq!(command.status().expect("the program starts").signal(), Some(9));
    assert_eq!(
        story.target.value("select count(*) from pg_constraint where conname = 'of_t' and conparentid = 0"),
        "1"
    );
    story.migrate("t", &["--restart", "--chunk-interval", "7 days"]);
    assert_all_there(&story, &before, "begun anew");
}

#[test]
fn another_name_and_another_layout_take_everything_along() {
    let story = story("carried_as");
    story.target.run("drop table events");
    let before = Described::read(&story.source, "t");
    let report =
        story.migrate("t", &["--as", "\"else.where\".t", "--chunk-interval", "1 day", "--hash-partitions", "device:2"]);
    assert_eq!(
        not_carried(&report),
        ["foreign key to this table: of_t on public.events: the table is missing on the target"]
    );
    let after = Described::read(&story.target, "\"else.where\".t");
    let differ: Vec<String> = before.differences(&after).into_iter().map(|(field, _)| field).collect();
    let expected = [
        "belongings.policies",
        "belongings.referencing_keys",
        "belongings.statistics",
        "dimensions",
        "indexes",
        "sequences",
        "table.schema",
    ];
    assert_eq!(differ, expected, "what names the table's schema, and what was asked for");
    let policy = "select pg_get_expr(polqual, polrelid) from pg_policy";
    assert!(story.target.value(policy).contains(r#"FROM "else.where".t"#), "{}", story.target.value(policy));

    let listed = not_carried(&story.migrate("t", &["--as", "renamed"]));
    assert!(!listed.iter().any(|line| line.starts_with("policy: ")), "{listed:#?}");
    let policy = "select pg_get_expr(polqual, polrelid) from pg_policy where polrelid = 'renamed'::regclass";
    assert!(story.target.value(policy).contains("FROM renamed t_1"), "{}", story.target.value(policy));
    // What the policy calls so would be taken for the row that it is asked of.
    let listed = not_carried(&story.migrate("t", &["--as", "device"]));
    let line = "policy: mine: a query in its expression calls something else device";
    assert!(listed.iter().any(|found| found.starts_with(line)), "{listed:#?}");
    for (sql, name) in [
        ("select stxname from pg_statistic_ext where stxrelid = 'renamed'::regclass", "renamed_pair"),
        (
            "select indexrelid::regclass from pg_index where indrelid = 'renamed'::regclass and indisclustered",
            "renamed_half",
        ),
        ("select pg_get_serial_sequence('renamed', 'id')", "public.renamed_id_seq"),
        ("select obj_description('renamed_half'::regclass)", "half"),
        (
            "select tgname from pg_trigger where tgrelid = 'renamed'::regclass and not tgisinternal and tgname = 'noted'",
            "noted",
        ),
    ] {
        assert_eq!(story.target.value(sql), name);
    }
}

#[test]
fn indexes_of_whole_rows_follow_the_tables_name() {
    let story = Story::new("carried_rows");
    story.source.run(
        r#"create schema t; create function t.odd(int) returns bool language sql immutable as 'select $1 % 2 = 1';
           create table t (time timestamptz not null, v int); select create_hypertable('t', 'time');
           insert into t select '2025-01-01'::timestamptz + n * interval '1 day', n from generate_series(1, 50) n;
           create unique index rows_once on t (time, hash_record(t.*), t.odd(v)) where t is not null and v::text <> 't.*'"#,
    );
    let archive = Archive::of(&story.source, "t", "carried_rows", &[]);
    let dropped = r#"drop table "Ta""b"; drop function t.odd(int); delete from _hypercopy.job"#;
    let arguments = ["--as", r#""Ta""b""#, "--with-dependencies", "--strict"];
    story.migrate("t", &arguments);
    let made = story.target.value("select pg_get_indexdef('rows_once'::regclass)");
    assert!(made.contains(r#"hash_record("Ta""b".*), t.odd(v)) WHERE (("Ta""b".* IS NOT NULL)"#), "{made}");
    story.target.run(dropped);
    archive.restored(&story.target, &arguments);
    assert_eq!(story.target.value("select pg_get_indexdef('rows_once'::regclass)"), made);
}

#[test]
fn the_definition_alone_is_all_of_it_and_the_rows_alone_are_nothing_of_it() {
    let story = story("carried_apart");
    let before = Described::read(&story.source, "t");
    let archive = Archive::of(&story.source, "t", "carried_apart", &[]);
    story.target.run("truncate events");
    let report = archive.restored(&story.target, &["--schema-only"]);
    assert_eq!(not_carried(&report), [""; 0]);
    let after = Described::read(&story.target, "t");
    let differ: Vec<String> = before.differences(&after).into_iter().map(|(field, _)| field).collect();
    assert_eq!(
        differ,
        ["belongings.publications", "sequences"],
        "values go with the rows, and there are no chunks to publish"
    );
    story.target.run("create table plain as select * from t; drop table t cascade; alter table plain rename to t");
    story.target.run("alter table t alter time set not null; select create_hypertable('t', 'time')");
    archive.restored(&story.target, &["--data-only"]);
    assert_eq!(story.target.multiset("t"), story.source.multiset("t"));
    let belongings = "select count(*) from pg_trigger where tgrelid = 't'::regclass and tgname = 'noted'";
    assert_eq!(story.target.value(belongings), "0");
}

#[test]
fn a_key_to_rows_that_are_not_there_stays_unproven_and_is_listed() {
    let story = story("carried_unproven");
    story.target.run("truncate devices");
    let report = story.migrate("t", &[]);
    let listed = not_carried(&report);
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert!(
        listed[0].starts_with("refused by the target: validate foreign key to_devices of public.t: "),
        "{listed:#?}"
    );
    assert!(!listed[0].contains("Key ("), "no value of a row: {listed:#?}");
    let state = |table: &str| {
        story.target.value(&format!(
            "select convalidated from pg_constraint where conrelid = '{table}'::regclass and conname = 'to_devices'"
        ))
    };
    assert_eq!(state("t"), "f");
    // Whoever wants all or nothing mends it, and the same command goes on.
    story.target.run("alter table events drop constraint of_t");
    let strict = ["migrate", "t", "--as", "strict", "--strict"];
    let run = story.hypercopy(&["migrate", "t", "--as", "device", "--strict"]);
    assert_eq!(run.code, 3, "a policy that calls something else device: {}", run.stderr);
    let run = story.hypercopy(&strict);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("cannot validate foreign key to_devices of public.strict"), "{}", run.stderr);
    story.target.run("insert into devices select generate_series(0, 4)");
    let run = story.hypercopy(&strict);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(state("strict"), "t");
}

#[test]
fn a_forged_archive_says_nothing_of_other_objects() {
    let story = story("carried_forged");
    let archive = Archive::of(&story.source, "t", "carried_forged", &[]);
    let whole = archive.manifest();
    let forgeries = [
        ("/triggers/0/around", json!(["CREATE TRIGGER x AFTER INSERT ON devices EXECUTE FUNCTION noted() -- ON ", ""])),
        ("/triggers/0/around", json!(["DROP TABLE devices, ", " cascade"])),
        (
            "/referencing_keys/0/around",
            json!([
                "CHECK (true), drop column device, add FOREIGN KEY (device, \"time\") REFERENCES ",
                "(device, \"time\")"
            ]),
        ),
        ("/foreign_keys/0/definition", json!("FOREIGN KEY (device) REFERENCES public.devices(id), drop column note")),
        ("/policies/0/using", json!("true); drop table devices; --")),
        ("/policies/0/command", json!("all to public; drop table devices")),
        ("/grants/0/privileges", json!(["SELECT ON devices TO public; --"])),
        ("/statistics/0/body", json!("ON id FROM public.devices --")),
        ("/column_settings/0/value", json!("1, drop column note")),
        ("/publications/0/filter", json!("true), table devices where (true")),
        ("/comments/0/text", json!("x".repeat(10))),
    ];
    for (place, forgery) in forgeries {
        archive.edit(|manifest| {
            let belongings = &mut manifest["definition"]["hypertable"]["belongings"];
            *belongings.pointer_mut(place).expect("the archive has it") = forgery.clone();
        });
        match place {
            // What it may say, it says.
            "/comments/0/text" => {
                archive.restored(&story.target, &[]);
                assert_eq!(
                    story.target.value("select count(*) from pg_description where description = 'xxxxxxxxxx'"),
                    "1"
                );
            }
            _ => archive.assert_refused(&story.target, &[], 6, "is more than it says"),
        }
        archive.write("manifest.json", whole.to_string());
    }
}

#[test]
fn an_ordinary_role_carries_what_is_its_own() {
    let (here, there) = (Role::create(Server::Trixie, "mover"), Role::create(Server::OtherTrixie, "mover"));
    let stranger = Role::create(Server::OtherTrixie, "stranger");
    let story = Story::new("carried_role");
    for (database, role) in [(&story.source, &here), (&story.target, &there)] {
        database.run(&format!(
            "grant create on database \"{}\" to {role}; grant create on schema public to {role}; set role {role}; {BOTH} reset role",
            database.value("select current_database()"),
            role = role.name
        ));
    }
    let database = &story.source;
    database.run(&format!("create role {}", stranger.name));
    database.run(&format!(
        "set role {mover}; {METRICS}
         grant select on t to {stranger} with grant option; reset role;
         set role {stranger}; grant select (note) on t to public; reset role;
         create schema closed; create statistics closed.pair on value, note from t;
         alter statistics closed.pair owner to {stranger};",
        mover = here.name,
        stranger = stranger.name
    ));
    story
        .target
        .run("create schema closed; create publication others; drop publication rows_of; create publication rows_of");
    let before = Described::read(&story.source, "t");
    let (source, target) = (here.conninfo(&story.source), there.conninfo(&story.target));
    let report = story.migrate("t", &["--source", &source, "--target", &target, "--verify", "checksum"]);
    // What needs more: to be a member of whoever gave something or shall have it, and of a publication's owner.
    let listed = not_carried(&report);
    let needs_more = [
        "owner: mover: the table will belong to mover",
        "grant: select (note) on public.t to public by stranger: stranger gave it, and the role cannot act as it",
        "extended statistics: closed.pair: the role, or the owner, may not use schema closed",
        "publication: rows_of: it belongs to another role on the target",
    ];
    let plain = |line: &String| {
        [(&here.name, "mover"), (&there.name, "mover"), (&stranger.name, "stranger")]
            .iter()
            .fold(line.clone(), |line, (name, word)| line.replace(name.as_str(), word))
    };
    let listed: Vec<String> = listed.iter().map(plain).collect();
    for wanted in needs_more {
        assert!(listed.iter().any(|line| line.starts_with(wanted)), "{wanted} is among {listed:#?}");
    }
    assert_eq!(listed.len(), needs_more.len(), "{listed:#?}");
    let after = Described::read(&story.target, "t");
    let same = [
        "belongings.triggers",
        "belongings.foreign_keys",
        "belongings.referencing_keys",
        "belongings.policies",
        "belongings.comments",
        "belongings.storage_parameters",
        "belongings.column_settings",
        "belongings.indexes",
    ];
    let differ: Vec<String> = before.differences(&after).into_iter().map(|(field, _)| field).collect();
    assert!(same.iter().all(|field| !differ.contains(&field.to_string())), "{differ:?}");
    story.source.run(&format!("drop owned by {0}, {1} cascade; drop role {1}", here.name, stranger.name));
    story.target.run(&format!("drop owned by {}, {} cascade", there.name, stranger.name));
}

#[test]
fn a_dry_run_shows_every_statement_and_why_others_are_missing() {
    let story = story("carried_dry");
    story.target.run("drop function noted()");
    let before = story.target_objects();
    let run = story.hypercopy(&["migrate", "t", "--dry-run"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for wanted in [
        "comment on table \"public\".\"t\" is 'a table';",
        "grant select on table \"public\".\"t\" to public;",
        "add constraint \"to_devices\" FOREIGN KEY (device) REFERENCES public.devices(id) ON DELETE CASCADE not valid;",
        "alter table \"public\".\"t\" validate constraint \"to_devices\";",
        "create policy \"mine\"",
        "alter publication \"rows_of\" add table \"public\".\"t\";",
        "revoke truncate on table",
        "alter table \"public\".\"t\" force row level security;",
    ] {
        assert!(run.stdout.contains(wanted), "{wanted}: {}", run.stdout);
    }
    let missing = "trigger: noted: function public.noted() is missing on the target\n      CREATE TRIGGER noted BEFORE";
    assert!(run.stderr.contains(missing), "{}", run.stderr);
    assert_eq!(story.target_objects(), before);
}

#[test]
fn whoever_is_kept_out_in_the_end_can_go_on_until_then() {
    let mover = Role::create(Server::OtherTrixie, "mover");
    let story = Story::new("carried_kept_out");
    story.source.run(&format!(
        "{BOTH} {METRICS} alter table t force row level security;
         revoke select, insert, update on t from current_user; revoke update on sequence t_id_seq from current_user"
    ));
    story.target.run(&format!(
        "grant create on database \"{}\" to {role}; grant create on schema public to {role}; set role {role}; {BOTH} reset role",
        story.target.value("select current_database()"),
        role = mover.name
    ));
    let target = mover.conninfo(&story.target);
    let arguments = ["migrate", "t", "--target", &target, "--verify", "checksum", "--json"];
    for failpoint in ["finalize-before-commit:9", "before-finish"] {
        let mut command = story.command(&arguments);
        command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).stdout(Stdio::null());
        assert_eq!(command.status().expect("the program starts").signal(), Some(9), "{failpoint}");
    }
    let run = story.hypercopy(&arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.target.multiset("t"), story.source.multiset("t"));
    let kept_out = format!(
        "select relforcerowsecurity and not has_table_privilege('{role}', 't', 'insert')
             and not has_sequence_privilege('{role}', 't_id_seq', 'update') from pg_class where oid = 't'::regclass",
        role = mover.name
    );
    assert_eq!(story.target.value(&kept_out), "t");
    story.target.run(&format!("drop owned by {} cascade", mover.name));
}
