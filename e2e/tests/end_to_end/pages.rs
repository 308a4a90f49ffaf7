//! What a real browser sees.

use std::net::TcpListener;

use e2e::{Server, browser};

const PASSWORD: &str = "four unrelated words here";

#[test]
fn the_frame_tells_bad_pages_from_good_ones() {
    browser::run_alone("frame.mjs", &[]);
}

#[test]
fn the_life_of_an_account_without_javascript() {
    browser::run("account.mjs", &Server::start(), &[]);
}

#[test]
fn pages_fit_every_screen_and_every_person() {
    browser::run("looks.mjs", &Server::start(), &[]);
}

#[test]
fn a76_a88_a89_a148_back_to_trusted_applications_and_nowhere_else() {
    // Ports that are free now, for the two other sites.
    let ports: Vec<String> = [(); 2]
        .map(|()| TcpListener::bind("127.0.0.1:0").unwrap())
        .iter()
        .map(|listener| listener.local_addr().unwrap().port().to_string())
        .collect();
    let trusted = format!("http://localhost:{}", ports[0]);
    let server = Server::with().env("JOTGATE_COOKIE_TRUSTED_ORIGINS", &trusted).start();
    browser::run("return_to.mjs", &server, &[("APP_PORT", &ports[0]), ("STRANGER_PORT", &ports[1])]);
}

#[test]
fn the_picture_of_the_readme_can_be_drawn() {
    let server = Server::start();
    let user = "user add ada --email ada@example.com --role editor --role billing:read --password-stdin";
    let added = server.command_with_input(user.split(' '), PASSWORD);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let login = serde_json::json!({"username": "ada", "password": PASSWORD});
    server.client().post("/auth/login").header("User-Agent", "curl/8.14.1").json(&login).send().expect(200);
    browser::run("picture.mjs", &server, &[("PASSWORD", PASSWORD)]);
}
