//! `jotgate doctor` and `jotgate migrate`: each thing broken on purpose, named with its setting.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate::store::Sqlite;
use jotgate_domain::store::Store as _;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{Change, Timestamp};
use serde_json::Value;

use super::host::{Host, PASSWORD};

/// Runs it; what is not good, as check, level and setting.
fn examine(host: &Host, arguments: &[&str]) -> (i32, Vec<Value>) {
    // Without the cheap hash, which would be told of.
    let run = host.place.run(&[&["doctor", "--json"], arguments].concat());
    let report = run.json();
    assert_eq!(report["healthy"], run.code == 0, "{report}");
    let findings = report["findings"].as_array().unwrap().clone();
    (run.code, findings.into_iter().filter(|finding| finding["level"] != "good").collect())
}

/// Exactly one finding of this check, with this setting and these words, and a fix.
#[track_caller]
fn finds(host: &Host, arguments: &[&str], check: &str, level: &str, setting: &str, words: &str) {
    let (code, findings) = examine(host, arguments);
    let found: Vec<_> = findings.iter().filter(|finding| finding["check"] == check).collect();
    assert_eq!(found.len(), 1, "{findings:#?}");
    assert_eq!((&found[0]["level"], &found[0]["setting"]), (&level.into(), &setting.into()), "{found:#?}");
    let message = found[0]["message"].as_str().unwrap();
    assert!(message.contains(words), "{message}");
    assert!(check == "configuration" || found[0]["fix"].is_string(), "{found:#?}");
    assert_eq!(code, i32::from(findings.iter().any(|finding| finding["level"] == "wrong")));
}

/// Stands before a server and changes what its answers say; gone with the test's process.
fn proxy(backend: &str, change: impl Fn(String) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = backend.strip_prefix("http://").unwrap().to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let _ = pass(&mut client.unwrap(), &backend, &change);
        }
    });
    format!("http://{address}")
}

fn pass(client: &mut TcpStream, backend: &str, change: &dyn Fn(String) -> String) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut server = TcpStream::connect(backend)?;
    server.write_all(head.as_bytes())?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    client.write_all(change(answer).as_bytes())
}

#[test]
fn a_sound_installation_is_told_to_be_sound() {
    let host = Host::start();
    let run = host.place.run(&["doctor", "--public-url", &host.url, "--listen", &host.url[7..]]).exits(0);
    assert!(run.out.contains("Nothing is wrong."), "{}", run.out);
    for check in ["configuration", "data directory", "database", "master key", "signing keys", "reachability"]
    {
        assert!(run.out.contains(&format!("ok       {check}: ")), "{check}: {}", run.out);
    }
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_with_its_key() {
    let host = Host::start();
    host.place.write("jotgate.toml", "[token]\naccess_tll = \"10m\"\n");
    finds(&host, &[], "configuration", "wrong", "token.access_tll", "token.access_ttl");
    host.place.write("jotgate.toml", "");
    let public = ["--public-url", "https://auth.example.com", "--trusted-proxies", "10.0.0.7"];
    for (domain, words) in [(".com", "com"), (".example.org", "auth.example.com")] {
        let arguments = [&public[..], &["--cookie-domain", domain]].concat();
        finds(&host, &arguments, "configuration", "wrong", "cookie.domain", words);
    }
}

#[test]
fn what_is_wrong_with_files_is_told() {
    let mut host = Host::start();
    let url = host.url.clone();
    let place = host.place.path().to_owned();
    let (data, listen) = (place.join("jotgate-data"), url[7..].to_owned());
    let here = ["--public-url", url.as_str(), "--listen", listen.as_str()];
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&data, 0o755);
    finds(&host, &here, "data directory", "wrong", "data_dir", "0755");
    mode(&data, 0o700);

    let master = data.join("master.key");
    mode(&master, 0o644);
    finds(&host, &here, "master key", "wrong", "data_dir", "chmod 600");
    mode(&master, 0o600);
    let key = fs::read(&master).unwrap();
    fs::write(&master, format!("{}\n", URL_SAFE_NO_PAD.encode([7; 32]))).unwrap();
    finds(&host, &here, "master key", "wrong", "data_dir", "does not open");
    fs::remove_file(&master).unwrap();
    finds(&host, &here, "master key", "wrong", "data_dir", "is missing");
    fs::write(&master, key).unwrap();
    mode(&master, 0o600);
    assert_eq!(examine(&host, &here).0, 0);

    finds(&host, &["--data-dir", "elsewhere"], "data directory", "wrong", "data_dir", "elsewhere");
    finds(&host, &["--data-dir", "elsewhere"], "database", "wrong", "database_url", "none yet");
    assert!(!place.join("elsewhere").exists(), "nothing is made");
    host.place.write("other.db", &"not a database ".repeat(100));
    finds(&host, &["--database-url", "sqlite://other.db"], "database", "wrong", "database_url", "other.db");

    host.stop();
    finds(&host, &here, "reachability", "wrong", "public_url", "cannot be reached");
    let database = data.join("jotgate.db");
    let bytes = fs::read(&database).unwrap();
    fs::write(&database, &bytes[..bytes.len() - 100]).unwrap();
    finds(&host, &here, "database", "wrong", "database_url", "cut short");
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let host = Host::start();
    let year = |year| rcgen::date_time_ymd(year, 1, 1);
    let make = |name: &str, from: i32, until: i32| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["auth.example.com".to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (year(from), year(until));
        let certificate = parameters.self_signed(&key).unwrap();
        host.place.write(&format!("{name}.crt"), &certificate.pem());
        host.place.write(&format!("{name}.key"), &key.serialize_pem());
    };
    make("good", 2020, 2090);
    make("old", 2020, 2021);
    make("early", 2089, 2090);
    // Nobody answers there, which is another finding.
    let check = |certificate: &str, key: &str, url: &str, words: Option<(&str, &str)>| {
        let (certificate, key) = (format!("{certificate}.crt"), format!("{key}.key"));
        let arguments =
            ["--tls-cert", &certificate, "--tls-key", &key, "--public-url", url, "--listen", "127.0.0.1:1"];
        match words {
            Some((setting, words)) => finds(&host, &arguments, "certificate", "wrong", setting, words),
            None => {
                let findings = examine(&host, &arguments).1;
                assert!(findings.iter().all(|finding| finding["check"] != "certificate"), "{findings:?}");
            }
        }
    };
    // An address that refuses at once: the name need not be asked for.
    let url = "https://auth.example.com:1";
    check("good", "good", url, None);
    check("old", "old", url, Some(("tls.cert", "expired on 2021-01-01")));
    check("early", "early", url, Some(("tls.cert", "valid from 2089-01-01")));
    check("good", "good", "https://127.0.0.1:1", Some(("tls.cert", "not for 127.0.0.1")));
    check("good", "old", url, Some(("tls.key", "good.crt")));
    host.place.write("empty.crt", "");
    check("empty", "good", url, Some(("tls.cert", "no certificate")));
}

#[test]
fn who_answers_at_public_url_is_told() {
    let mut host = Host::start();
    let backend = host.url.clone();
    let listen = backend[7..].to_owned();
    let plain = proxy(&backend, |answer| answer);
    // The server behind has to know its public name, and answers at the same place again.
    host.start_again(&["--public-url", &plain, "--listen", &listen]);
    let at = |url: &str| ["--public-url".to_owned(), url.to_owned(), "--listen".to_owned(), listen.clone()];
    let look = |url: &str, check: &str, level: &str, setting: &str, words: &str| {
        let arguments = at(url);
        finds(&host, &arguments.each_ref().map(String::as_str), check, level, setting, words);
    };
    look(&plain, "proxy", "wrong", "trusted_proxies", "not trusted");

    let ahead = proxy(&backend, |answer| {
        let (before, after) = answer.split_once("date: ").unwrap();
        let (_, after) = after.split_once("\r\n").unwrap();
        format!("{before}date: Sun, 06 Nov 2044 08:49:37 GMT\r\n{after}")
    });
    look(&ahead, "clock", "wrong", "(this machine)", "away from that of public_url");
    look(&ahead, "reachability", "wrong", "public_url", &format!("calls itself {plain}"));
    let moved = proxy(&backend, |_| {
        "HTTP/1.1 301 Moved\r\nlocation: https://www.example.com/\r\ncontent-length: 0\r\n\r\n".to_owned()
    });
    look(&moved, "reachability", "wrong", "public_url", "https://www.example.com/");

    // It hangs: told within the time that is promised, and some for a busy machine.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let url = format!("http://{}", silent.local_addr().unwrap());
    look(&url, "reachability", "wrong", "public_url", "cannot be reached");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

    // The same name, another database; and now that the proxy is trusted, that finding is gone.
    let trusted = ["--trusted-proxies", "127.0.0.1", "--data-dir", "another"];
    host.start_again(&[&["--public-url", plain.as_str(), "--listen", &listen][..], &trusted].concat());
    let (_, findings) = examine(&host, &at(&plain).each_ref().map(String::as_str));
    let found: Vec<_> = findings.iter().map(|finding| &finding["check"]).collect();
    assert_eq!(found, ["published keys"], "{findings:#?}");
    assert_eq!(findings[0]["setting"], "public_url");
}

/// Dead letters; a receiver that is gone; messages for a webhook that was taken out of the configuration.
#[test]
fn what_webhooks_need_an_operator_for_is_told() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in receiver.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(b"HTTP/1.1 410 Gone\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let mut host = Host::start();
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let config = format!("[webhooks.app]\nurl = \"http://{address}/canary\"\nsecret = \"{secret}\"\n");
    host.place.write("jotgate.toml", &config);
    host.start_again(&[]);
    let run = host.place.run(&["doctor"]);
    assert!(run.out.contains("no receiver is gone, and there are no dead letters"), "{}", run.out);
    host.stop();

    let dead = Delivery {
        id: "app-1-1".to_owned(),
        webhook: "app".to_owned(),
        kind: "user.registered".to_owned(),
        body: "{}".to_owned(),
        tries: 10,
        next_at: Timestamp(1),
        // Not so old that it would be removed.
        dead_at: Some(Timestamp(i64::MAX)),
        problem: "answered 500".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(&host.place.path().join("jotgate-data/jotgate.db"), Timestamp(1)).unwrap();
        store.apply(vec![Change::PutDelivery(dead)], Vec::new()).await.unwrap();
    });
    finds(&host, &[], "webhooks", "warning", "webhooks.app.url", "app has 1 dead letters");

    host.start_again(&[]);
    host.run(&["webhook", "retry", "--all"]).exits(0);
    let begun = Instant::now();
    while !host.run(&["webhook", "list"]).out.contains("gone") {
        assert!(begun.elapsed() < Duration::from_secs(60), "never gone");
    }
    finds(&host, &[], "webhooks", "wrong", "webhooks.app.url", "the receiver of app answered 410 (gone)");

    host.place.write("jotgate.toml", "");
    host.start_again(&[]);
    let words = "app is configured no longer, and 1 messages";
    finds(&host, &[], "webhooks", "warning", "webhooks.app.url", words);
    let list = host.run(&["webhook", "list"]).exits(0);
    assert!(list.out.contains("not configured"), "{}", list.out);
    assert!(!list.out.contains("canary"));
}

#[test]
fn migrations_are_told_before_they_are_done() {
    let host = Host::start();
    assert_eq!(host.run(&["migrate"]).exits(0).out, "The database is up to date.\n");
    assert_eq!(host.run(&["migrate", "--check", "--json"]).exits(0).json()["pending"], serde_json::json!([]));
    host.run(&["migrate", "--data-dir", "elsewhere"]).exits(1);
    // A database that has had none yet, as a crash in the first start leaves it.
    let path = host.place.path().join("new/jotgate.db");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "").unwrap();
    let run = host.run(&["migrate", "--check", "--data-dir", "new"]).exits(1);
    assert!(run.out.starts_with("pending: 0001_initial\n"), "{}", run.out);
    assert_eq!(path.metadata().unwrap().len(), 0, "nothing was done");
    let (_, findings) = examine(&host, &["--data-dir", "new"]);
    assert!(findings.iter().any(|finding| finding["message"].as_str().unwrap().contains("0001_initial")));
    let run = host.run(&["migrate", "--data-dir", "new"]).exits(0);
    assert!(run.out.starts_with("applied: 0001_initial\n"), "{}", run.out);
    host.run(&["migrate", "--check", "--data-dir", "new"]).exits(0);
    host.run_with_input(
        &["user", "add", "ann", "--password-stdin", "--data-dir", "new"],
        &format!("{PASSWORD}\n"),
    )
    .exits(0);
}
