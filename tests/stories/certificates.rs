//! TLS as psql has it: each kind of server certificate at every level of verification, client certificates, and what is
//! negotiated.

use std::os::unix::fs::PermissionsExt;

use crate::authority::{Authority, Certified, self_signed};
use crate::folders::File;
use crate::golden::Golden;
use crate::guarded::Guarded;
use crate::harness::Run;

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A server for which everything can be asked in one line.
fn line(server: &Guarded, more: &str) -> String {
    format!("host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=postgres {more}", server.cluster.port())
}

/// With each of these files of authorities, or none, psql and we believe the same.
fn assert_all_levels(server: &Guarded, golden: &Golden, roots: &[&str]) -> usize {
    let mut connected = 0;
    for root in roots {
        for mode in MODES {
            connected += usize::from(golden.compare(&line(server, &format!("sslmode={mode} {root}")), &[]).is_ok());
        }
    }
    connected
}

#[test]
fn a_servers_certificate_is_believed_when_psql_believes_it() {
    let server = Guarded::new("believed");
    let golden = Golden::new(&server, "believed");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.certify(&["localhost", "127.0.0.1"], "good");
    let revoked = ours.certify(&["localhost"], "revoked");
    let file = |name: &str, text: &str| format!("sslrootcert={}", golden.home.write(name, text));
    let (trusted, foreign) = (file("ours.crt", &ours.certificate), file("theirs.crt", &theirs.certificate));
    let revocations = golden.home.write("ours.crl", ours.revoke(&[&revoked]));
    let with_revocations = format!("{trusted} sslcrl={revocations}");
    let roots = ["", &trusted, &foreign, &with_revocations];
    // Nobody speaks TLS there yet.
    assert_eq!(assert_all_levels(&server, &golden, &["", &trusted]), 6);
    let install = |certified: &Certified| server.certify(&certified.certificate, &certified.key);

    install(&good);
    assert_eq!(assert_all_levels(&server, &golden, &roots), 4 + 6 + 3 + 6);
    // The name it is called by, and not the address behind it, is what has to fit.
    golden.is_refused(&line(&server, &format!("host=elsewhere sslmode=verify-full {trusted}")), &[], "does not match");
    golden.connects(&line(&server, &format!("host=elsewhere sslmode=verify-ca {trusted}")), &[]);
    golden.connects(&line(&server, &format!("host=127.0.0.1 sslmode=verify-full {trusted}")), &[]);
    golden.is_refused(
        &line(&server, &format!("host='' sslmode=verify-full {trusted}")),
        &[],
        "host name must be specified",
    );
    golden.connects(&line(&server, &format!("host='' sslmode=verify-ca {trusted}")), &[]);

    install(&ours.certify(&["elsewhere"], "localhost"));
    assert_eq!(assert_all_levels(&server, &golden, &[&trusted]), 5, "a common name behind other names says nothing");
    install(&ours.certify(&[], "localhost"));
    assert_eq!(assert_all_levels(&server, &golden, &[&trusted]), 6, "and alone it does");
    install(&ours.certify(&["*.example"], "any"));
    for (host, fits) in [("db.example", true), ("a.db.example", false), ("example", false)] {
        let compared = golden.compare(&line(&server, &format!("host={host} sslmode=verify-full {trusted}")), &[]);
        assert_eq!(compared.is_ok(), fits, "{host}");
    }

    install(&ours.certify_expired(&["localhost"]));
    assert_eq!(assert_all_levels(&server, &golden, &roots[..2]), 4 + 3);
    install(&revoked);
    assert_eq!(assert_all_levels(&server, &golden, &roots[1..]), 6 + 3 + 3);

    let alone = self_signed(&["localhost"]);
    let itself = file("alone.crt", &alone.certificate);
    install(&alone);
    assert_eq!(assert_all_levels(&server, &golden, &["", &trusted, &itself]), 4 + 3 + 6);
    // What the commands in PostgreSQL's manual make is of version 1.
    let old = file("version1.crt", include_str!("tls/version1_ca.crt"));
    server.certify(include_str!("tls/version1.crt"), include_str!("tls/version1.key"));
    assert_eq!(assert_all_levels(&server, &golden, &["", &trusted, &old]), 4 + 3 + 6);
}

#[test]
fn files_of_the_home_directory_and_of_the_system_are_found_as_by_psql() {
    let server = Guarded::new("roots");
    let golden = Golden::new(&server, "roots");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.certify(&["localhost"], "good");
    server.certify(&good.certificate, &good.key);
    let compare = |more: &str| golden.compare(&line(&server, more), &[]);

    assert!(compare("sslmode=require").is_ok());
    std::fs::create_dir(golden.home.path(".postgresql")).expect("the directory can be made");
    golden.home.write(".postgresql/root.crt", &theirs.certificate);
    assert!(compare("sslmode=require").unwrap_err().contains("invalid peer certificate: UnknownIssuer"));
    assert!(compare("sslmode=prefer").is_ok_and(|place| place.contains("plain")));
    golden.home.write(".postgresql/root.crt", &ours.certificate);
    assert!(compare("sslmode=verify-full").is_ok_and(|place| place.contains("TLSv1.3")));
    golden.home.write(".postgresql/root.crl", ours.revoke(&[&good]));
    assert!(compare("sslmode=require").unwrap_err().contains("Revoked"));
    assert!(compare("sslmode=verify-full sslcrldir=/nowhere").is_err(), "what cannot be looked up is not believed");
    assert!(compare(&format!("sslmode=require sslcrldir={}", golden.home.path(".postgresql"))).is_err());

    // The system's own authorities are asked of the process, and so a process it is.
    let system = golden.home.write("system.crt", &ours.certificate);
    for (more, code, said) in [
        ("sslrootcert=system", 0, ""),
        ("sslrootcert=system host=elsewhere", 4, "does not match host name"),
        ("sslrootcert=system sslmode=require", 2, "weak sslmode"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(["inspect", "--source", &line(&server, more)]).env_clear().env("SSL_CERT_FILE", &system);
        let run = Run::of(command.output().expect("the program starts"));
        // There is no TimescaleDB to be seen, which is said behind the door.
        let is_in = run.stderr.contains("TimescaleDB");
        assert_eq!((is_in, said.is_empty() || run.stderr.contains(said)), (code == 0, true), "{more}: {}", run.stderr);
        assert!(code == 0 || run.code == code, "{more}: {}", run.stderr);
    }
}

#[test]
fn client_certificates_and_what_is_negotiated_are_psqls() {
    let server = Guarded::new("negotiated");
    let golden = Golden::new(&server, "negotiated");
    let ours = Authority::new("ours");
    let good = ours.certify(&["localhost"], "good");
    server.write("root.crt", &ours.certificate);
    server.run(
        "create role certified login; create role sealed login; create role open login;
         create role bound login password 'secret'",
    );
    server.run("alter system set ssl_ca_file = 'root.crt'");
    server.certify(&good.certificate, &good.key);
    server.add_rules(
        "hostssl all certified all cert\nhostnossl all certified all reject\n\
         hostssl all sealed all trust\nhostnossl all sealed all reject\n\
         hostnossl all open all trust\nhostssl all open all reject\n\
         host all bound all scram-sha-256",
    );
    let as_user = |user: &str, more: &str| line(&server, &format!("user={user} {more}"));
    let root = format!("sslrootcert={}", golden.home.write("root.crt", &ours.certificate));

    // Whoever is let in only by one of the two ways takes it with allow and prefer, and with no other.
    for mode in MODES {
        for (user, comes_in) in
            [("sealed", mode != "disable"), ("open", ["disable", "allow", "prefer"].contains(&mode))]
        {
            let compared = golden.compare(&as_user(user, &format!("sslmode={mode} {root}")), &[]);
            assert_eq!(compared.is_ok(), comes_in, "{user} {mode}");
        }
    }

    let me = ours.certify(&[], "certified");
    let stranger = self_signed(&[]);
    let (certificate, key) = (golden.home.write("me.crt", &me.certificate), golden.home.write("me.key", &me.key));
    let mode = |mode: u32| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    mode(0o600);
    let with = |more: &str| as_user("certified", &format!("sslmode=require sslcert={certificate} sslkey={key} {more}"));
    assert!(golden.connects(&with(""), &[]).contains("CN=certified"));
    golden.connects(&with("sslcertmode=require"), &[]);
    golden.is_refused(&with("sslcertmode=disable"), &[], "requires a valid client certificate");
    golden.is_refused(&as_user("certified", "sslmode=require"), &[], "requires a valid client certificate");
    golden.is_refused(&with("sslkey=/nowhere"), &[], "certificate present, but not private key file \"/nowhere\"");
    golden.is_refused(
        &as_user("sealed", "sslmode=require sslcertmode=require"),
        &[],
        "without a valid SSL certificate",
    );
    golden.is_refused(
        &as_user("open", "sslmode=disable sslcertmode=require"),
        &[],
        "did not request an SSL certificate",
    );
    mode(0o644);
    golden.is_refused(&with(""), &[], "has group or world access");
    mode(0o640);
    let _ = golden.compare(&with(""), &[]);
    let other = golden.home.write("other.key", &stranger.key);
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let mismatch = golden.compare(&with(&format!("sslkey={other}")), &[]);
    assert!(mismatch.unwrap_err().contains("key values mismatch"));

    for (more, expected) in [
        ("sslnegotiation=direct sslmode=require", Some("TLSv1.3")),
        ("ssl_max_protocol_version=TLSv1.2 sslmode=require", Some("TLSv1.2")),
        ("ssl_min_protocol_version=TLSv1.3 sslmode=require sslsni=0", Some("TLSv1.3")),
        ("sslnegotiation=direct sslmode=prefer", None),
    ] {
        let compared = golden.compare(&line(&server, &format!("{more} {root}")), &[]);
        assert_eq!(
            compared.is_ok_and(|place| expected.is_some_and(|version| place.contains(version))),
            expected.is_some()
        );
    }
    server.run("alter system set ssl_min_protocol_version = 'TLSv1.3'");
    server.reload();
    assert!(golden.compare(&line(&server, "ssl_max_protocol_version=TLSv1.2 sslmode=require"), &[]).is_err());

    let bound = |more: &str| as_user("bound", &format!("password=secret {more}"));
    golden.connects(&bound("sslmode=require channel_binding=require"), &[]);
    golden.connects(&bound("sslmode=require channel_binding=disable"), &[]);
    golden.is_refused(&bound("sslmode=disable channel_binding=require"), &[], "channel binding");
    golden.is_refused(&as_user("sealed", "sslmode=require channel_binding=require"), &[], "channel binding");
    let socket =
        format!("host={} port={} user=postgres dbname=postgres", server.socket_directory(), server.cluster.port());
    for mode in MODES {
        golden.connects(&format!("{socket} sslmode={mode}"), &[]);
    }
}

/// Where nobody else reads the wire there is nothing to warn of.
#[test]
fn a_password_in_the_clear_is_told_of_where_others_could_read_it() {
    let server = Guarded::new("clear");
    server.run("create role plain superuser login password 'kanarienvogel'; create extension timescaledb");
    server.add_rules("host all plain all password");
    let inspect = |host: &str, more: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        let port = server.cluster.port();
        command.args(["inspect", "--source", &format!("host={host} port={port} user=plain dbname=postgres {more}")]);
        let run = Run::of(command.env("PGPASSWORD", "kanarienvogel").output().expect("the program starts"));
        assert!(!format!("{}{}", run.stderr, run.stdout).contains("kanarien"), "{}", run.stderr);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stderr
    };
    assert_eq!(inspect("127.0.0.1", ""), "");
    // No packet is sent; the system says which of its addresses it would send one from.
    let own = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Some(own) = own.ok().map(|address| address.ip().to_string()).filter(|address| !address.starts_with("127."))
    else {
        eprintln!("skipped a part of a_password_in_the_clear: this machine has no address but its own");
        return;
    };
    let warned = inspect(&own, "");
    assert_eq!(warned.matches("in the clear").count(), 1, "{warned}");
    let (ours, file) = (Authority::new("ours"), File::new("clear"));
    let good = ours.certify(&[&own], "good");
    file.write(&ours.certificate);
    server.certify(&good.certificate, &good.key);
    assert_eq!(inspect(&own, &format!("sslmode=verify-full sslrootcert={}", file.path())), "");
}
