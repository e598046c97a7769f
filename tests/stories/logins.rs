//! How a server may ask for a password: `require_auth` against every method that a server has.

use crate::golden::Golden;
use crate::guarded::Guarded;

#[test]
fn a_server_that_asks_otherwise_than_it_may_gets_nothing() {
    let server = Guarded::new("logins");
    let golden = Golden::new(&server, "logins");
    server.run(
        "create role of_scram login password 'secret'; create role of_password login password 'secret';
         create role of_trust login;
         set password_encryption = 'md5'; create role of_md5 login password 'secret'; reset password_encryption",
    );
    server.add_rules(
        "host all of_scram all scram-sha-256\nhost all of_password all password\nhost all of_md5 all md5\n\
         host all of_trust all trust",
    );
    let line = |role: &str, more: &str| {
        let port = server.cluster.port();
        format!("host=127.0.0.1 port={port} user={role} password=secret dbname=postgres {more}")
    };
    for (require_auth, comes_in) in [
        ("!gss", [true, true, true, true]),
        ("scram-sha-256", [true, false, false, false]),
        ("md5", [false, false, true, false]),
        ("password,md5", [false, true, true, false]),
        ("none", [false, false, false, true]),
        ("scram-sha-256,none", [true, false, false, true]),
        ("!password", [true, false, true, true]),
        ("!password,!md5", [true, false, false, true]),
        ("!none", [true, true, true, false]),
        ("gss", [false, false, false, false]),
        ("gss,sspi,scram-sha-256", [true, false, false, false]),
    ] {
        for (role, comes_in) in ["of_scram", "of_password", "of_md5", "of_trust"].into_iter().zip(comes_in) {
            let compared = golden.compare(&line(role, &format!("require_auth={require_auth}")), &[]);
            assert_eq!(compared.is_ok(), comes_in, "{role} {require_auth}: {compared:?}");
        }
    }
    golden.is_refused(&line("of_scram", "password=wrong"), &[], "password authentication failed");
    golden.is_refused(&line("of_md5", "password=wrong"), &[], "password authentication failed");
}
