//! Connection strings, service files, the environment and password files mean what they mean to psql.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::golden::Golden;
use crate::guarded::Guarded;
use crate::harness::{Run, multiset_sql, wait_until};

/// A port on which nobody listens, until the next server wants one.
fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("there is a port").port()
}

#[test]
fn a_connection_string_means_what_it_means_to_psql() {
    let server = Guarded::new("strings");
    let golden = Golden::new(&server, "strings");
    server.run("create role \"Odd Name\" superuser login");
    server.run("create database \"a b/c\"");
    let (port, dead, socket) = (server.cluster.port().to_string(), dead_port().to_string(), server.socket_directory());
    let encoded = socket.replace('/', "%2F");
    let fill = |text: &str| {
        text.replace("PORT", &port).replace("DEAD", &dead).replace("SOCKET", &socket).replace("ENCODED", &encoded)
    };

    for text in [
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres",
        " host = 127.0.0.1 port= PORT user ='postgres'dbname=postgres",
        "host=127.0.0.1 port=PORT user=Odd\\ Name dbname='a b/c'",
        "host=127.0.0.1 port=1 port=PORT user=postgres dbname=postgres",
        "host=SOCKET port=PORT user=postgres dbname=postgres",
        "host=localhost hostaddr=127.0.0.1 port=PORT user=postgres dbname=postgres",
        "hostaddr=127.0.0.1 port=PORT user=postgres dbname=postgres",
        "host=127.0.0.1,127.0.0.1 port=DEAD,PORT user=postgres dbname=postgres",
        "host=SOCKET,127.0.0.1 port=DEAD,PORT user=postgres dbname=postgres",
        "host=nowhere.invalid,127.0.0.1 port=PORT user=postgres dbname=postgres",
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres requiressl=0 application_name=x fallback_application_name=y",
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres options='-c work_mem=5MB -c geqo=off'",
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres client_encoding=latin1 gssencmode=prefer krbsrvname=x",
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres keepalives_idle=3 keepalives_count=2 tcp_user_timeout=30000",
        "host=127.0.0.1,127.0.0.1 port=PORT,PORT user=postgres dbname=postgres load_balance_hosts=random",
        "postgresql://postgres@127.0.0.1:PORT/postgres",
        "postgres://Odd%20Name@127.0.0.1:PORT/a%20b%2Fc",
        "postgresql://postgres@ENCODED:PORT/postgres",
        "postgresql:///postgres?host=SOCKET&port=PORT&user=postgres",
        "postgresql://postgres@127.0.0.1:DEAD,127.0.0.1:PORT/postgres?target_session_attrs=read-write",
        "postgresql://postgres@[::1]:DEAD,127.0.0.1:PORT/postgres",
        "postgresql://postgres@127.0.0.1:PORT/postgres?options=-c%20work_mem%3D5MB&connect_timeout=9&",
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres target_session_attrs=primary",
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres target_session_attrs=prefer-standby",
        "host=127.0.0.1 port=PORT user=postgres dbname=postgres target_session_attrs=read-only \
         options='-c default_transaction_read_only=on'",
    ] {
        golden.connects(&fill(text), &[]);
    }

    for (text, reason) in [
        ("host=127.0.0.1 port=PORT nonsense=1", "invalid connection option \"nonsense\""),
        ("host=127.0.0.1 port=PORT =1", "invalid connection option \"\""),
        ("host=127.0.0.1 port=PORT dbname", "missing \"=\" after \"dbname\" in connection info string"),
        ("host=127.0.0.1 port=PORT user='postgres", "unterminated quoted string in connection info string"),
        ("host=127.0.0.1 port=0", "invalid port number: \"0\""),
        ("host=127.0.0.1 port=x", "invalid integer value \"x\" for connection option \"port\""),
        ("host=a,b port=1,2,3", "could not match 3 port numbers to 2 hosts"),
        ("host=a,b hostaddr=127.0.0.1", "could not match 2 host names to 1 hostaddr values"),
        ("hostaddr=nowhere port=PORT", "could not parse network address \"nowhere\""),
        ("host=nowhere.invalid port=PORT", "could not translate host name \"nowhere.invalid\" to address"),
        ("host=127.0.0.1,127.0.0.1 port=DEAD,DEAD", "Connection refused"),
        ("host=SOCKET port=DEAD", "No such file or directory"),
        ("host=127.0.0.1 port=PORT user=nobody_knows dbname=postgres", "role \"nobody_knows\" does not exist"),
        ("host=127.0.0.1,127.0.0.1 port=PORT,DEAD user=postgres dbname=nowhere", "database \"nowhere\" does not exist"),
        ("host=127.0.0.1 port=PORT sslmode=maybe", "invalid sslmode value: \"maybe\""),
        ("host=127.0.0.1 port=PORT sslmode=''", "invalid sslmode value: \"\""),
        ("host=127.0.0.1 port=PORT sslnegotiation=maybe", "invalid sslnegotiation value: \"maybe\""),
        (
            "host=127.0.0.1 port=PORT sslnegotiation=direct",
            "weak sslmode \"prefer\" may not be used with sslnegotiation=direct",
        ),
        (
            "host=127.0.0.1 port=PORT sslrootcert=system sslmode=require",
            "weak sslmode \"require\" may not be used with sslrootcert=system",
        ),
        (
            "host=127.0.0.1 port=PORT ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
            "invalid SSL protocol version range",
        ),
        ("host=127.0.0.1 port=PORT ssl_min_protocol_version=9", "invalid \"ssl_min_protocol_version\" value: \"9\""),
        ("host=127.0.0.1 port=PORT channel_binding=maybe", "invalid channel_binding value: \"maybe\""),
        ("host=127.0.0.1 port=PORT require_auth=maybe", "invalid require_auth value: \"maybe\""),
        ("host=127.0.0.1 port=PORT require_auth=md5,!none", "cannot be mixed with non-negative methods"),
        ("host=127.0.0.1 port=PORT require_auth=!md5,none", "cannot be mixed with negative methods"),
        ("host=127.0.0.1 port=PORT require_auth=md5,md5", "specified more than once"),
        ("host=127.0.0.1 port=PORT load_balance_hosts=maybe", "invalid load_balance_hosts value: \"maybe\""),
        ("host=127.0.0.1 port=PORT target_session_attrs=maybe", "invalid target_session_attrs value: \"maybe\""),
        (
            "host=127.0.0.1 port=PORT connect_timeout=soon",
            "invalid integer value \"soon\" for connection option \"connect_timeout\"",
        ),
        ("host=127.0.0.1 port=PORT user=postgres dbname=postgres keepalives_idle=x", "invalid integer value \"x\""),
        ("host=127.0.0.1 port=PORT user=postgres gssencmode=require", "GSSAPI"),
        (
            "host=127.0.0.1 port=PORT user=postgres dbname=postgres sslmode=require",
            "server does not support SSL, but SSL was required",
        ),
        (
            "host=127.0.0.1 port=PORT user=postgres dbname=postgres target_session_attrs=standby",
            "server is not in hot standby mode",
        ),
        (
            "host=127.0.0.1 port=PORT user=postgres dbname=postgres target_session_attrs=read-only",
            "session is not read-only",
        ),
        (
            "host=127.0.0.1 port=PORT user=postgres dbname=postgres target_session_attrs=read-write \
             options='-c default_transaction_read_only=on'",
            "session is read-only",
        ),
        (
            "host=SOCKET port=PORT user=postgres dbname=postgres requirepeer=nobody_knows",
            "requirepeer specifies \"nobody_knows\"",
        ),
        ("postgresql://127.0.0.1:PORT/postgres?nonsense=1", "invalid URI query parameter: \"nonsense\""),
        ("postgresql://127.0.0.1:PORT/postgres?user", "missing key/value separator"),
        ("postgresql://127.0.0.1:PORT/postgres?user=a=b", "extra key/value separator"),
        ("postgresql://127.0.0.1:PORT/post%zzgres", "invalid percent-encoded token"),
        ("postgresql://127.0.0.1:PORT/post%00gres", "forbidden value %00"),
        ("postgresql://[]:PORT/postgres", "IPv6 host address may not be empty"),
        ("postgresql://[::1:PORT/postgres", "matching \"]\""),
        ("postgresql://[::1]x:PORT/postgres", "unexpected character"),
        ("postgresql://127.0.0.1:PORT,127.0.0.1:1,/postgres?port=1,2", "could not match 2 port numbers to 3 hosts"),
    ] {
        golden.is_refused(&fill(text), &[], reason);
    }
    // Whoever runs the server, both know the name; of several one is right.
    let peers = ["postgres", "nobody", "root"].map(|peer| {
        let text = format!("host=SOCKET port=PORT user=postgres dbname=postgres requirepeer={peer}");
        golden.compare(&fill(&text), &[]).is_ok()
    });
    assert!(peers.iter().filter(|is_it| **is_it).count() <= 1, "{peers:?}");

    // Somebody who takes calls and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let silent_port = silent.local_addr().expect("it has one").port();
    for mode in ["disable", "require"] {
        let text = format!("host=127.0.0.1 port={silent_port} connect_timeout=2 sslmode={mode}");
        golden.is_refused(&text, &[], "timeout expired");
    }
    let text =
        format!("host=127.0.0.1,127.0.0.1 port={silent_port},{port} connect_timeout=2 user=postgres dbname=postgres");
    golden.connects(&text, &[]);
}

#[test]
fn services_the_environment_and_password_files_complete_it_as_for_psql() {
    let server = Guarded::new("completed");
    let golden = Golden::new(&server, "completed");
    let port = server.cluster.port().to_string();
    server.run("create role ann login password 'a:b\\c'; create role bob login password 'bobs'");
    server.run("create database metrics");
    server.run("create database other");
    server.add_rules("host all ann,bob all scram-sha-256");
    let services = golden.home.write(
        "services.conf",
        format!(
            "# who\n[first]\nhost=127.0.0.1\n port={port} \nuser=postgres\ndbname=metrics\n\n[nested]\nservice=first\n\
             [odd]\nnonsense=1\n[bare]\nhost\n[second]\nport={port}\ndbname=other\nuser=postgres\n"
        ),
    );
    let file = ("PGSERVICEFILE", services.as_str());
    let database = |place: String| place.split(' ').nth(1).map(str::to_string);
    // What is given counts before the service, the service before the environment.
    let environment =
        [file, ("PGHOST", "127.0.0.1"), ("PGDATABASE", "other"), ("PGUSER", "nobody_knows"), ("PGPORT", "1")];
    let with = |more: &'static str| [&environment[..], &[("PGSERVICE", more)]].concat();
    assert_eq!(database(golden.connects("service=first", &environment)).as_deref(), Some("metrics"));
    assert_eq!(database(golden.connects("", &with("first"))).as_deref(), Some("metrics"));
    assert_eq!(database(golden.connects("dbname=other", &with("first"))).as_deref(), Some("other"));
    assert_eq!(database(golden.connects("service=second", &with("first"))).as_deref(), Some("other"));
    assert_eq!(database(golden.connects("postgresql://?service=second", &environment)).as_deref(), Some("other"));
    golden.is_refused("service=third", &environment, "definition of service \"third\" not found");
    golden.is_refused("service=nested", &environment, "nested service specifications not supported");
    golden.is_refused("service=odd", &environment, "syntax error in service file");
    golden.is_refused("service=bare", &environment, "syntax error in service file");
    golden.is_refused("service=first", &[("PGSERVICEFILE", "/nowhere")], "service file \"/nowhere\" not found");
    golden
        .home
        .write(".pg_service.conf", format!("[home]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname=postgres\n"));
    golden
        .home
        .write("pg_service.conf", format!("[system]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname=other\n"));
    let home = golden.home.path("");
    golden.connects("service=home", &[("PGSYSCONFDIR", &home)]);
    golden.connects("service=system", &[("PGSYSCONFDIR", &home)]);
    golden.is_refused(
        "service=system",
        &[file, ("PGSYSCONFDIR", "/nowhere")],
        "definition of service \"system\" not found",
    );

    // The environment alone.
    let reach =
        [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", "postgres"), ("PGDATABASE", "postgres")];
    let also = |name: &'static str, value: &'static str| [&reach[..], &[(name, value)]].concat();
    golden.connects("", &reach);
    golden.connects("", &also("PGOPTIONS", "-c work_mem=7MB"));
    golden.connects("", &also("PGGEQO", "off"));
    golden.connects("", &also("PGHOSTADDR", "127.0.0.1"));
    golden.connects("", &also("PGAPPNAME", "x"));
    golden.connects("options='-c work_mem=6MB'", &also("PGOPTIONS", "-c work_mem=7MB"));
    for (name, value, reason) in [
        ("PGSSLMODE", "require", "server does not support SSL, but SSL was required"),
        ("PGREQUIRESSL", "1", "server does not support SSL, but SSL was required"),
        ("PGSSLMODE", "maybe", "invalid sslmode value: \"maybe\""),
        ("PGTARGETSESSIONATTRS", "standby", "server is not in hot standby mode"),
        ("PGREQUIREAUTH", "scram-sha-256", "server did not complete authentication"),
        ("PGCHANNELBINDING", "require", "channel binding"),
        ("PGCONNECT_TIMEOUT", "x", "invalid integer value \"x\" for connection option \"connect_timeout\""),
        ("PGGSSENCMODE", "require", "GSSAPI"),
        ("PGLOADBALANCEHOSTS", "x", "invalid load_balance_hosts value: \"x\""),
        ("PGSSLNEGOTIATION", "x", "invalid sslnegotiation value: \"x\""),
        ("PGSSLMINPROTOCOLVERSION", "x", "invalid \"ssl_min_protocol_version\" value: \"x\""),
    ] {
        golden.is_refused("", &also(name, value), reason);
    }

    // Passwords.
    let ann = format!("host=127.0.0.1 port={port} user=ann dbname=metrics");
    let bob = format!("host=127.0.0.1 port={port} user=bob dbname=metrics");
    golden.is_refused(&ann, &[], "no password supplied");
    golden.connects(&ann, &[("PGPASSWORD", "a:b\\c")]);
    golden.is_refused(&ann, &[("PGPASSWORD", "wrong")], "password authentication failed");
    golden.connects(&format!("{ann} password='a:b\\\\c'"), &[("PGPASSWORD", "wrong")]);
    golden.connects(&format!("postgresql://ann:a%3Ab%5Cc@127.0.0.1:{port}/metrics"), &[]);
    let keep = |name: &str, text: &str, mode: u32| {
        let path = golden.home.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        path
    };
    let text = format!(
        "#127.0.0.1:*:*:ann:no\nelsewhere:*:*:ann:no\n127.0.0.1:{port}:metrics:ann:a\\:b\\\\c:rest\n*:*:*:*:bobs\r\n"
    );
    keep(".pgpass", &text, 0o600);
    golden.connects(&ann, &[]);
    golden.connects(&bob, &[]);
    golden.is_refused(&format!("{ann} dbname=other"), &[], "password authentication failed");
    golden.is_refused(&ann, &[("PGPASSFILE", "/nowhere")], "no password supplied");
    keep(".pgpass", &text, 0o640);
    golden.is_refused(&ann, &[], "no password supplied");
    let other = keep("other", &text, 0o600);
    golden.connects(&ann, &[("PGPASSFILE", &other)]);
    golden.connects(&format!("{ann} passfile={other}"), &[("PGPASSFILE", "/nowhere")]);
    // Each host has its own, and a socket's directory is one.
    let dead = dead_port();
    let text = format!("127.0.0.1:{dead}:*:*:no\nlocalhost:{port}:*:*:bobs\n");
    let own = keep("own", &text, 0o600);
    let hosts = format!("host=127.0.0.1,localhost port={dead},{port} user=bob dbname=metrics passfile={own}");
    golden.connects(&hosts, &[]);
}

#[test]
fn the_server_that_a_run_has_found_is_the_one_for_all_its_sessions() {
    let servers = [Guarded::new("many-1"), Guarded::new("many-2")];
    for server in &servers {
        server.run("create extension timescaledb");
    }
    let source = servers[0].session("postgres");
    servers[0].run_in(
        &source,
        "create table metrics (time timestamptz not null, device int);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01'::timestamptz + n * interval '1 minute', n from generate_series(1, 9000) n",
    );
    servers[1].run("create database target");
    let target = servers[1].session("target");
    servers[1].run_in(&target, "create extension timescaledb");
    // Only one of the two can be written; of the read-only one's sessions none may be among the source's.
    servers[1].run("alter system set default_transaction_read_only = on");
    servers[1].reload();
    let ports = servers.each_ref().map(|server| server.cluster.port());
    let dead = dead_port();
    for _ in 0..3 {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command
            .args(["migrate", "metrics", "-j", "3", "--restart", "--verify", "checksum"])
            .env(
                "HYPERCOPY_SOURCE",
                format!(
                    "postgresql://postgres@127.0.0.1:{},127.0.0.1:{dead},127.0.0.1:{}/postgres?load_balance_hosts=random\
                     &target_session_attrs=read-write",
                    ports[1], ports[0]
                ),
            )
            .env("HYPERCOPY_TARGET", format!("host=127.0.0.1 port={} user=postgres dbname=target", ports[1]));
        let run = Run::of(command.output().expect("the program starts"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(servers[1].value_in(&target, "select count(*)::text from metrics"), "9000");
    }
}

#[test]
fn a_standby_is_found_and_avoided_as_by_psql_and_can_be_a_source() {
    let (primary, mut standby) = (Guarded::new("primary"), Guarded::new("standby"));
    let golden = Golden::new(&primary, "standby");
    for server in [&primary, &standby] {
        server.run("create extension timescaledb");
    }
    standby.run(
        "create table metrics (time timestamptz not null, device int);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01'::timestamptz + n * interval '1 minute', n from generate_series(1, 9000) n",
    );
    let conninfo = |server: &Guarded| server.cluster.conninfo("postgres");
    let (source, target) = (conninfo(&standby), conninfo(&primary));
    let ports = [primary.cluster.port(), standby.cluster.port()].map(|port| port.to_string());
    standby.cluster.stop_immediately().expect("the cluster stops");
    standby.write("standby.signal", "");
    std::thread::scope(|scope| {
        // Answers when the server has been promoted.
        let restarted = scope.spawn(|| standby.cluster.restart());
        let session = wait_for_session(&primary, &source);
        for (attributes, order, expected) in [
            ("any", [0, 1], Some(0)),
            ("any", [1, 0], Some(1)),
            ("primary", [1, 0], Some(0)),
            ("read-write", [1, 0], Some(0)),
            ("standby", [0, 1], Some(1)),
            ("read-only", [0, 1], Some(1)),
            ("prefer-standby", [0, 1], Some(1)),
            ("prefer-standby", [0, 0], Some(0)),
            ("standby", [0, 0], None),
            ("primary", [1, 1], None),
        ] {
            let [first, second] = order.map(|number: usize| ports[number].as_str());
            let line = format!(
                "host=127.0.0.1,127.0.0.1 port={first},{second} user=postgres dbname=postgres \
                 target_session_attrs={attributes}"
            );
            let found = golden.compare(&line, &[]).ok().map(|place| place.split(' ').nth(3).map(str::to_string));
            assert_eq!(found, expected.map(|number: usize| Some(ports[number].clone())), "{line}");
        }
        let migrate = |source: &str, target: &str| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hypercopy"));
            command
                .args(["migrate", "metrics", "-j", "2"])
                .env("HYPERCOPY_SOURCE", source)
                .env("HYPERCOPY_TARGET", target);
            Run::of(command.output().expect("the program starts"))
        };
        let migrated = migrate(&source, &target);
        assert_eq!(migrated.code, 0, "{}", migrated.stderr);
        let multiset = multiset_sql("metrics");
        assert_eq!(
            primary.value_in(&session, &multiset),
            primary.value_in(&primary.session("postgres"), &multiset),
            "a standby can be read whole"
        );
        let refused = migrate(&target, &source);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("is a standby and cannot be written"), "{}", refused.stderr);
        primary.run_in(&session, "select pg_promote()");
        restarted.join().expect("the thread ends").expect("the server is promoted");
    });
}

/// A session of a server that is about to start.
fn wait_for_session(others: &Guarded, conninfo: &str) -> tokio_postgres::Client {
    let mut session = None;
    wait_until("the server to take calls", || {
        session = others.wait(async {
            let (client, connection) = tokio_postgres::connect(conninfo, tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(connection);
            Some(client)
        });
        session.is_some()
    });
    session.expect("it was waited for")
}
