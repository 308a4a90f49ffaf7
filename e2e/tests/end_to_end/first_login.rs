//! A server without any configuration, from the first start to the first verified token and back.

use e2e::Server;
use serde_json::json;

/// The eight steps over the wire, by body and by cookie.
#[test]
fn a_fresh_server_registers_signs_in_and_verifies() {
    let server = Server::start();
    let mut client = server.client();
    let alice = json!({"username": "alice", "password": "correct horse battery"});
    client.post("/auth/register").json(&alice).send().expect(201);

    let login = client.post("/auth/login").json(&alice).send().is(200);
    let (access, refresh) = (login.member("access_token"), login.member("refresh_token"));
    let me = client.get("/auth/me").bearer(&access).send().is(200).json();
    assert_eq!(me["user"]["username"], "alice");
    assert_eq!(me["claims"]["iss"], server.url());
    let verified = client.get("/auth/verify").bearer(&access).send().is(200);
    assert_eq!(verified.header("x-auth-username"), Some("alice"));

    let again = client.post("/auth/refresh").json(&json!({"refresh_token": refresh})).send().is(200);
    assert_ne!(again.member("refresh_token"), refresh);
    client.post("/auth/logout").bearer(&again.member("access_token")).send().expect(204);
    for token in [access, again.member("access_token")] {
        client.get("/auth/me").bearer(&token).send().expect_problem(401, "revoked");
    }

    let by_cookie = json!({"username": "alice", "password": "correct horse battery", "delivery": "cookie"});
    let login = client.post("/auth/login").json(&by_cookie).send().is(200);
    assert!(login.json().get("access_token").is_none() && login.json().get("refresh_token").is_none());
    assert!(client.cookie("jwt").is_some() && client.cookie("jwt_session").is_some());
    client.get("/auth/me").send().expect(200);
}

/// Tokens and sessions are as good after a restart as before, and the server ends when it is asked to.
#[test]
fn a_restart_changes_nothing_for_who_is_signed_in() {
    let mut server = Server::start();
    let mut client = server.client();
    let alice = json!({"username": "alice", "password": "correct horse battery"});
    client.post("/auth/register").json(&alice).send().expect(201);
    let login = client.post("/auth/login").json(&alice).send().is(200);

    assert!(server.terminate().success());
    server.start_again();
    client.get("/auth/me").bearer(&login.member("access_token")).send().expect(200);
    let refresh = json!({"refresh_token": login.member("refresh_token")});
    client.post("/auth/refresh").json(&refresh).send().expect(200);
}

/// HTTPS in the server itself; a renewed certificate is taken up without a restart.
#[test]
fn https_with_a_certificate_that_is_renewed() {
    let mut server = Server::with().tls().start();
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let alice = json!({"username": "alice", "password": "correct horse battery", "delivery": "cookie"});
    let mut client = server.client();
    client.post("/auth/register").json(&alice).send().expect(201);
    client.post("/auth/login").json(&alice).send().expect(200);
    for name in ["__Host-jwt", "__Host-jwt_session"] {
        let cookie = client.cookies().iter().find(|cookie| cookie.name == name).expect(name);
        assert_eq!(cookie.attribute("secure"), Some(""), "{cookie:?}");
        assert_eq!(cookie.attribute("domain"), None, "{cookie:?}");
    }

    let process = server.pid();
    server.renew_certificate();
    // The old certificate is no longer trusted: an answer means that the new one is in use.
    let mut client = server.client();
    let begin = std::time::Instant::now();
    while client.get("/.well-known/jwks.json").try_send().is_err() {
        assert!(begin.elapsed().as_secs() < 60, "the new certificate is not taken up");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(server.pid(), process);
}
