//! Signing in with real providers: npm's `oidc-provider`, two of them at once.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use e2e::{Client, Response, Server, browser};
use serde_json::{Value, json};

const SECRET: &str = "secret-with:odd/characters+%";
/// Where the application of these tests listens, or would.
const APP_URI: &str = "http://127.0.0.1:9/callback";
/// RFC 7636 App. B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Where the npm packages are; none where they are not installed.
fn modules(test: &str) -> Option<PathBuf> {
    let modules = folder("../target/e2e/upstream");
    let there = modules.join("node_modules/oidc-provider").is_dir();
    if !there {
        e2e::left_out(test, "the npm packages are not installed (`cargo xtask test --only e2e` does it)");
    }
    there.then_some(modules)
}

struct Provider {
    child: Child,
    issuer: String,
    /// Open as long as it runs: it goes on writing there.
    _stdout: BufReader<ChildStdout>,
}

impl Provider {
    fn start(modules: &Path, host: &str, algorithm: &str, redirect_uris: &[&str]) -> Self {
        let mut child = Command::new("node")
            .arg(folder("upstream/provider.mjs"))
            .args([host, algorithm])
            .args(redirect_uris)
            .env("JOTGATE_E2E_UPSTREAM", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs");
        let mut issuer = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut issuer).expect("a line");
        assert!(issuer.starts_with("http://"), "the provider did not start: {issuer:?}");
        Self { child, issuer: issuer.trim_end().to_owned(), _stdout: stdout }
    }

    /// A person signs in there, where a browser was sent; where the browser is sent then.
    fn sign_in(&self, at: &str, person: &str) -> String {
        self.sign_in_with(at, person, &[])
    }

    /// The same with the cookies that the provider set the last time.
    fn sign_in_with(&self, at: &str, person: &str, jar: &[&Path]) -> String {
        assert!(at.starts_with(&self.issuer), "{at}");
        let script = folder("upstream/user.mjs");
        let done = Command::new("node").arg(script).args([at, person]).args(jar).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    /// A code that an application has sent to itself.
    fn code(&self, person: &str) -> String {
        let asked = format!(
            "{}/auth?response_type=code&client_id=jotgate&scope=openid%20email%20profile&redirect_uri=\
             http%3A%2F%2F127.0.0.1%3A9%2Fcallback&code_challenge={CHALLENGE}&code_challenge_method=S256",
            self.issuer
        );
        parameter(&self.sign_in(&asked, person), "code")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server with two providers, each on a host of its own so that a browser keeps their cookies apart.
struct World {
    server: Server,
    first: Provider,
    second: Provider,
}

impl World {
    fn start(test: &str) -> Option<Self> {
        let modules = modules(test)?;
        // The providers have to know its port, and it them: so it is started twice.
        let mut server = Server::start();
        let callback = |name: &str| format!("{}/login/{name}/callback", server.url());
        let first = Provider::start(&modules, "127.0.0.1", "ES256", &[&callback("first"), APP_URI]);
        let second = Provider::start(&modules, "localhost", "RS256", &[&callback("second"), APP_URI]);
        for (name, provider) in [("FIRST", &first), ("SECOND", &second)] {
            let mut set = |key: &str, value: &str| {
                server.set_env(&format!("JOTGATE_PROVIDERS_{name}_{key}"), value);
            };
            set("ISSUER", &provider.issuer);
            set("CLIENT_ID", "jotgate");
            set("CLIENT_SECRET", SECRET);
            set("REDIRECT_URIS", APP_URI);
            set("TRUST_EMAIL", "true");
        }
        server.set_env("JOTGATE_PROVIDERS_FIRST_LABEL", "the first one");
        server.secret(SECRET);
        server.terminate();
        server.start_again();
        Some(Self { server, first, second })
    }
}

fn location(answer: &Response) -> String {
    answer.expect(303);
    answer.header("location").unwrap().to_owned()
}

fn parameter(url: &str, name: &str) -> String {
    let marked = format!("{name}=");
    let found = url.split(['?', '&']).find_map(|part| part.strip_prefix(&marked));
    found.unwrap_or_else(|| panic!("{url} has no {name}")).to_owned()
}

/// Path and query: what the browser asks our server for.
fn path(url: &str) -> String {
    url.splitn(4, '/').nth(3).map(|rest| format!("/{rest}")).unwrap()
}

/// All the way to a provider and back.
fn sign_in(client: &mut Client, name: &str, provider: &Provider, person: &str) -> Response {
    let to = location(&client.get(&format!("/login/{name}")).send());
    client.get(&path(&provider.sign_in(&to, person))).send()
}

fn me(client: &mut Client) -> Value {
    client.get("/auth/me").send().is(200).json()["user"].clone()
}

fn posted(client: &mut Client, target: &str, fields: &[(&str, &str)]) -> Response {
    client.post(target).header("Sec-Fetch-Site", "same-origin").form(fields).send()
}

#[test]
fn people_sign_in_with_real_providers() {
    let Some(world) = World::start("people_sign_in_with_real_providers") else { return };
    let mut ada = world.server.client();
    assert_eq!(location(&sign_in(&mut ada, "first", &world.first, "ada")), "/account");
    let user = me(&mut ada);
    assert_eq!((&user["username"], &user["email"]), (&json!("ada"), &json!("ada@example.com")));
    assert_eq!(user["email_verified"], json!(true));
    // The same person, another browser: the same account. Another algorithm, another provider: another one.
    let mut again = world.server.client();
    sign_in(&mut again, "first", &world.first, "ada");
    assert_eq!(me(&mut again)["id"], user["id"]);
    let mut other = world.server.client();
    sign_in(&mut other, "second", &world.second, "unverified-ada");
    let theirs = me(&mut other);
    assert_ne!(theirs["id"], user["id"]);
    assert_eq!((&theirs["email"], &theirs["email_verified"]), (&json!("ada@example.com"), &json!(false)));
    // An address that both vouch for is one person's.
    let mut both = world.server.client();
    sign_in(&mut both, "second", &world.second, "ada");
    assert_eq!(me(&mut both)["id"], user["id"]);
    let told = world.server.command("audit list --json".split(' '));
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("identity.linked") && told.contains("by second"), "{told}");
}

/// The provider answers from a session of its own, until it is asked for a sign-in that is recent.
#[test]
fn a_session_is_as_old_as_the_sign_in_at_the_provider() {
    let Some(world) = World::start("a_session_is_as_old_as_the_sign_in_at_the_provider") else { return };
    let jar = std::env::temp_dir().join(format!("jotgate-e2e-jar-{}", std::process::id()));
    let mut ada = world.server.client();
    let mut signed_in_at = |from: &str| {
        let own = ada.get(from).header("Sec-Fetch-Site", "same-origin").send();
        let back = world.first.sign_in_with(&location(&own), "ada", &[&jar]);
        assert_eq!(location(&ada.get(&path(&back)).send()), "/account");
        std::thread::sleep(std::time::Duration::from_millis(2100));
        ada.get("/auth/me").send().is(200).json()["claims"]["auth_time"].as_i64().unwrap()
    };
    let first = signed_in_at("/login/first");
    assert_eq!(signed_in_at("/login/first"), first, "nobody was asked");
    assert_eq!(signed_in_at("/login/first?max_age=3600"), first, "an hour is not over");
    let again = signed_in_at("/login/first?max_age=0");
    assert!(again > first, "{again}");
    let within = signed_in_at("/login/first?max_age=1");
    assert!(within > again, "{within}");
    std::fs::remove_file(jar).unwrap();
}

/// Two providers at once, one of which is the attacker's: RFC 9700 §4.4.
#[test]
fn a150_an_answer_of_one_provider_is_worth_nothing_at_another() {
    let Some(world) = World::start("a150_an_answer_of_one_provider_is_worth_nothing_at_another") else {
        return;
    };
    // What came from the first, at the second's address.
    let mut victim = world.server.client();
    let to = location(&victim.get("/login/first").send());
    let back = path(&world.first.sign_in(&to, "ada"));
    victim.get(&back.replace("/login/first/", "/login/second/")).send().expect(400);
    // The first's code in an answer to a sign-in with the second: with the first's name on it, and with the second's.
    for named in [true, false] {
        let stolen = parameter(&back, "code");
        let to = location(&victim.get("/login/second").send());
        let own = path(&world.second.sign_in(&to, "ada"));
        let mixed = own.replace(&parameter(&own, "code"), &stolen);
        let mixed =
            if named { mixed.replace(&parameter(&own, "iss"), &parameter(&back, "iss")) } else { mixed };
        victim.get(&mixed).send().expect(if named { 400 } else { 401 });
    }
    victim.get("/auth/me").send().expect(401);
    // Another browser's answer, into a browser that has one of its own under way.
    let mut attacker = world.server.client();
    let to = location(&attacker.get("/login/first").send());
    let theirs = path(&world.first.sign_in(&to, "mallory"));
    victim.get("/login/first").send().expect(303);
    victim.get(&theirs).send().expect(400);
    victim.get("/auth/me").send().expect(401);
    assert_eq!(location(&attacker.get(&theirs).send()), "/account", "and was good where it belonged");
}

#[test]
fn a152_an_answer_signs_in_once() {
    let Some(world) = World::start("a152_an_answer_signs_in_once") else { return };
    let mut browser = world.server.client();
    let to = location(&browser.get("/login/first").send());
    let flow = browser.cookie("jwt_flow").unwrap().to_owned();
    let back = path(&world.first.sign_in(&to, "ada"));
    assert_eq!(location(&browser.get(&back).send()), "/account");
    let mut thief = world.server.client();
    let again = thief.get(&back).header("Cookie", &format!("jwt_flow={flow}")).send();
    again.expect(400);
    assert!(again.text().contains("invalid_flow"));
    thief.get("/auth/me").send().expect(401);
}

#[test]
fn a153_who_registered_a_victims_address_gains_nothing() {
    let Some(world) = World::start("a153_who_registered_a_victims_address_gains_nothing") else { return };
    let form = json!({"username": "mallory", "password": "four unrelated words", "email": "ada@example.com"});
    let mut mallory = world.server.client();
    mallory.post("/auth/register").json(&form).send().expect(201);
    let login = json!({"username": "mallory", "password": "four unrelated words"});
    let session = mallory.post("/auth/login").json(&login).send().is(200);
    let mut victim = world.server.client();
    sign_in(&mut victim, "first", &world.first, "ada");
    let user = me(&mut victim);
    assert_ne!(user["id"], session.json()["user"]["id"]);
    assert_eq!(user["email_verified"], json!(true));
    let by_email = json!({"username": "ada@example.com", "password": "four unrelated words"});
    mallory.post("/auth/login").json(&by_email).send().expect(401);
    let token = session.member("access_token");
    let theirs = mallory.get("/auth/me").bearer(&token).send().is(200).json();
    assert_eq!(theirs["user"]["email_verified"], json!(false));
}

#[test]
fn a_way_to_sign_in_is_added_and_taken_away() {
    let Some(world) = World::start("a_way_to_sign_in_is_added_and_taken_away") else { return };
    let mut bob = world.server.client();
    let form = [("username", "bob"), ("password", "four unrelated words")];
    bob.get("/register").send().expect(200);
    posted(&mut bob, "/register", &form).expect(303);
    let id = me(&mut bob)["id"].clone();
    let page = posted(&mut bob, "/account/identities", &[("provider", "second")]).is(200);
    let to = page.text().split("href=\"http://localhost").nth(1).unwrap().split('"').next().unwrap();
    let to = format!("http://localhost{}", to.replace("&#38;", "&"));
    let back = world.second.sign_in(&to, "robert");
    assert_eq!(location(&bob.get(&path(&back)).send()), "/account?done=identity-linked");
    let mut other = world.server.client();
    sign_in(&mut other, "second", &world.second, "robert");
    assert_eq!(me(&mut other)["id"], id);
    let page = bob.get("/account").send().is(200);
    let identity = page.text().split("name=\"identity\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let gone = posted(&mut bob, "/account/identities", &[("identity", identity)]);
    assert_eq!(location(&gone), "/account?done=identity-unlinked");
    other.get("/auth/me").send().expect(401);
    sign_in(&mut other, "second", &world.second, "robert");
    assert_ne!(me(&mut other)["id"], id);
}

/// As in `docs/upstream.md`: an application with PKCE of its own.
#[test]
fn an_application_signs_in_with_a_code() {
    let Some(mut world) = World::start("an_application_signs_in_with_a_code") else { return };
    let form = |code: &str| json!({"provider": "first", "code": code, "code_verifier": VERIFIER, "redirect_uri": APP_URI});
    let mut app = world.server.client();
    let code = world.first.code("ada");
    let answer = app.post("/auth/login").json(&form(&code)).send().is(200);
    assert_eq!(answer.json()["user"]["username"], json!("ada"));
    app.get("/auth/me").bearer(&answer.member("access_token")).send().expect(200);
    let refresh = json!({"refresh_token": answer.member("refresh_token")});
    app.post("/auth/refresh").json(&refresh).send().expect(200);
    // Once; and by whoever has the verifier.
    app.post("/auth/login").json(&form(&code)).send().expect_problem(401, "invalid_code");
    let mut other = form(&world.first.code("ada"));
    other["code_verifier"] = json!("a".repeat(43));
    app.post("/auth/login").json(&other).send().expect_problem(401, "invalid_code");
    let mut nobody = form("x");
    nobody["provider"] = json!("nobody");
    app.post("/auth/login").json(&nobody).send().expect_problem(400, "unknown_provider");
    // A provider that is gone: the code may still be good, and so it says.
    let code = world.second.code("ada");
    world.second.child.kill().unwrap();
    world.second.child.wait().unwrap();
    let mut late = form(&code);
    late["provider"] = json!("second");
    let answer = app.post("/auth/login").json(&late).send();
    answer.expect_problem(503, "provider_unavailable");
    assert_eq!(answer.header("retry-after"), Some("30"));
    let doctor = world.server.command(["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("first answers") && said.contains("nobody can sign in with second"), "{said}");
}

#[test]
fn every_algorithm_of_the_provider_is_verified() {
    let Some(modules) = modules("every_algorithm_of_the_provider_is_verified") else { return };
    for algorithm in ["PS256", "EdDSA"] {
        let mut server = Server::start();
        let callback = format!("{}/login/first/callback", server.url());
        let provider = Provider::start(&modules, "127.0.0.1", algorithm, &[&callback, APP_URI]);
        server.set_env("JOTGATE_PROVIDERS_FIRST_ISSUER", &provider.issuer);
        server.set_env("JOTGATE_PROVIDERS_FIRST_CLIENT_ID", "jotgate");
        server.set_env("JOTGATE_PROVIDERS_FIRST_CLIENT_SECRET", SECRET);
        server.terminate();
        server.start_again();
        let mut client = server.client();
        assert_eq!(location(&sign_in(&mut client, "first", &provider, "ada")), "/account", "{algorithm}");
    }
}

#[test]
fn people_on_a_phone_sign_in_with_other_providers() {
    let Some(world) = World::start("people_on_a_phone_sign_in_with_other_providers") else { return };
    let environment = [("FIRST", world.first.issuer.as_str()), ("SECOND", &world.second.issuer)];
    browser::run("upstream.mjs", &world.server, &environment);
}
