//! Instructions of the hot paths, counted by callgrind: unlike times they hardly differ from run to run, so that a
//! change which makes a path longer is seen on a busy machine, too. `bench/instructions.tsv` has what they were.
//!
//! Each path runs in a child, so many times and twice as many: the difference has nothing of the start in it. Those that
//! begin with `GET` are asked of the server itself, with one worker, which counts what else it does meanwhile, too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jotgate_domain::Timestamp;
use jotgate_domain::refresh::decide;
use jotgate_domain::refresh_token::{Handle, RefreshKeys};
use jotgate_domain::session::RefreshState;
use jotgate_jose::{KeySet, Policy, SigningKey, verify_in};
use jotgate_verify::Verifier;

use crate::clients::{log_in, register};
use crate::load::{Client, closed};
use crate::program::{Outcome, Program};

const RECORDED: &str = "bench/instructions.tsv";
/// How much longer a path may have become.
const GROWTH: f64 = 1.10;

/// Each path, and how often it runs in the shorter of two runs: the less it does, the more often.
const PATHS: [(&str, u32); 9] = [
    ("verify HS256", 500),
    ("verify EdDSA", 50),
    ("sign HS256", 500),
    ("sign EdDSA", 50),
    ("verify, from the cache", 5000),
    ("refresh token, read and minted", 500),
    ("refresh, decided", 50_000),
    ("GET /auth/verify, Bearer", 1000),
    ("GET /auth/verify, cookie", 1000),
];

/// The key of RFC 7515 Appendix A.1.1.
const HS256: &str = r#"{"kty":"oct","alg":"HS256","kid":"a","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
/// The key of RFC 8037 Appendix A.1.
const EDDSA: &str = r#"{"kty":"OKP","alg":"EdDSA","kid":"a","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const NOW: u64 = 1_790_000_000;
/// The claims of an access token, as the server makes it.
const PAYLOAD: &str = r#"{"iss":"https://login.example.com","sub":"0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b","aud":"https://api.example.com","exp":4102444800,"iat":1790000000,"jti":"0199a1b2-c3d4-7e5f-8a9b-1c1d2e3f4a5b","client_id":"jotgate","scope":"account","sid":"0199a1b2-c3d4-7e5f-8a9b-2c1d2e3f4a5b","auth_time":1790000000,"roles":["admin","editor"],"preferred_username":"ada","status":{"status_list":{"idx":514229,"uri":"https://login.example.com/auth/status/1"}}}"#;

/// Counts, and holds the counts against the recorded ones; records them where that is asked for.
pub(crate) fn compare(binary: &Path, arguments: &[String]) -> Outcome<()> {
    let update = match arguments {
        [] => false,
        [only] if only == "--update" => true,
        _ => return Err("instructions takes --update, and nothing else".into()),
    };
    std::fs::create_dir_all("target")?;
    let versions = ["rustc", "valgrind"].map(|program| {
        let output = Command::new(program).arg("--version").output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    let [rustc, valgrind] = versions;
    let made_with = format!("# {}, {}", rustc?, valgrind.map_err(|error| format!("valgrind: {error}"))?);

    let text = std::fs::read_to_string(RECORDED).unwrap_or_default();
    let recorded = Recorded::parse(&text)?;
    if !update && recorded.made_with != made_with {
        println!("recorded with `{}`; this is `{made_with}`", recorded.made_with);
    }
    let mut counts = BTreeMap::new();
    for (path, times) in PATHS {
        counts.insert(path, count(binary, path, times)?);
    }
    let verdict = recorded.verdict(&counts);
    print!("{}", verdict.table);
    if update {
        let mut text = format!("{made_with}\n");
        PATHS.iter().for_each(|(path, _)| {
            let _ = writeln!(text, "{path}\t{}", counts.get(path).copied().unwrap_or(0));
        });
        std::fs::write(RECORDED, text)?;
        return Ok(());
    }
    match verdict.grown.as_slice() {
        [] => Ok(()),
        grown => Err(format!(
            "more than {:.0} % above {RECORDED}: {}. Make them shorter again, or record the new counts with --update",
            (GROWTH - 1.0) * 100.0,
            grown.join("; ")
        )
        .into()),
    }
}

struct Recorded<'t> {
    made_with: &'t str,
    counts: BTreeMap<&'t str, u64>,
}

struct Verdict {
    table: String,
    grown: Vec<String>,
}

impl<'t> Recorded<'t> {
    fn parse(text: &'t str) -> Outcome<Self> {
        let mut lines = text.lines();
        let made_with = lines.next().unwrap_or_default();
        let counts = lines.map(|line| {
            let (path, count) = line.split_once('\t').ok_or_else(|| format!("{RECORDED}: `{line}`"))?;
            Ok((path, count.parse()?))
        });
        Ok(Self { made_with, counts: counts.collect::<Outcome<_>>()? })
    }

    /// A path that is not recorded has grown: somebody has to say what is usual.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn verdict(&self, counts: &BTreeMap<&str, u64>) -> Verdict {
        let mut verdict = Verdict { table: String::new(), grown: Vec::new() };
        for (path, now) in counts {
            let before = self.counts.get(path).copied().unwrap_or(0);
            let times = *now as f64 / before as f64;
            let change =
                if before == 0 { "new".to_owned() } else { format!("{:+.1} %", (times - 1.0) * 100.0) };
            let _ =
                writeln!(verdict.table, "{path:32} {now:>10} instructions, recorded {before:>10}: {change}");
            if before == 0 || times > GROWTH {
                verdict.grown.push(format!("{path} ({change})"));
            }
        }
        verdict
    }
}

/// Instructions of one time.
fn count(binary: &Path, path: &str, times: u32) -> Outcome<u64> {
    let of = |times: u32| match path {
        "GET /auth/verify, Bearer" => asked(binary, |token| format!("authorization: Bearer {token}"), times),
        "GET /auth/verify, cookie" => {
            asked(binary, |token| format!("cookie: theme=dark; jwt={token}; language=de"), times)
        }
        _ => worked(path, times),
    };
    Ok(of(times * 2)?.saturating_sub(of(times)?) / u64::from(times))
}

fn worked(path: &str, times: u32) -> Outcome<u64> {
    let log = tempfile::NamedTempFile::new()?;
    let mut command = callgrind(log.path());
    let run = command.arg(std::env::current_exe()?).args(["work", path, &times.to_string()]).output()?;
    if !run.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    collected(log.path())
}

/// One child's work.
pub(crate) fn work(path: &str, times: u32) -> Outcome<()> {
    match path {
        "verify HS256" => verified(HS256, times),
        "verify EdDSA" => verified(EDDSA, times),
        "sign HS256" => signed(HS256, times),
        "sign EdDSA" => signed(EDDSA, times),
        "verify, from the cache" => cached(times),
        "refresh token, read and minted" => minted(times),
        "refresh, decided" => decided(times),
        _ => Err(format!("there is no path `{path}`").into()),
    }
}

fn verified(jwk: &str, times: u32) -> Outcome<()> {
    let key = SigningKey::from_jwk(jwk)?;
    let token = key.sign("at+jwt", PAYLOAD.as_bytes())?;
    let (keys, policy) = (KeySet::from(key.verifying_key()), Policy::access_token(ISSUER, AUDIENCE));
    let mut buffer = Vec::with_capacity(4096);
    for _ in 0..times {
        let verified = verify_in(&mut buffer, &keys, &policy, &token, NOW)?;
        let claims = verified.claims();
        black_box((claims.sub(), claims.scope(), claims.roles(), claims.status(), claims.exp()));
    }
    Ok(())
}

fn signed(jwk: &str, times: u32) -> Outcome<()> {
    let key = SigningKey::from_jwk(jwk)?;
    let mut out = Vec::with_capacity(4096);
    for _ in 0..times {
        out.clear();
        key.sign_into("at+jwt", &mut out, |space: &mut Vec<u8>| {
            space.extend_from_slice(PAYLOAD.as_bytes());
            Ok::<_, jotgate_jose::KeyError>(())
        })?;
        black_box(&out);
    }
    Ok(())
}

fn cached(times: u32) -> Outcome<()> {
    let key = SigningKey::from_jwk(EDDSA)?;
    let token = key.sign("at+jwt", PAYLOAD.as_bytes())?;
    let policy = Policy::access_token(ISSUER, AUDIENCE);
    let verifier = Verifier::new(policy, KeySet::from(key.verifying_key())).with_cache(1 << 20);
    // Something is revoked, as it always is.
    verifier.revocations().insert("https://login.example.com/auth/status/1", 1, i64::MAX);
    for _ in 0..times {
        black_box(verifier.check(&token, NOW).map_err(|refusal| format!("{refusal:?}"))?);
    }
    Ok(())
}

fn minted(times: u32) -> Outcome<()> {
    let keys = RefreshKeys::new(1, &[7; 32]);
    let token = keys.mint(&Handle::new([9; 16]), 1);
    for generation in 0..times {
        let presented = keys.parse(token.expose())?;
        black_box(keys.mint(&presented.handle, generation));
    }
    Ok(())
}

fn decided(times: u32) -> Outcome<()> {
    let state = RefreshState::new([7; 32]);
    for count in 0..times {
        let now = Timestamp(1_790_000_000_000 + i64::from(count));
        black_box(decide(black_box(&state), black_box(1), now, Duration::from_secs(10)));
    }
    Ok(())
}

/// The same request so many times.
struct Times {
    request: String,
    left: u32,
}

impl Client for Times {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        request.extend_from_slice(self.request.as_bytes());
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Instructions of the whole server, from its start to its end, that is asked so often with a token.
fn asked(binary: &Path, header: fn(&str) -> String, times: u32) -> Outcome<u64> {
    let log = tempfile::NamedTempFile::new()?;
    crate::runtime()?.block_on(async {
        // The token of one start is good at the next.
        let address = [("JOTGATE_PUBLIC_URL", "http://127.0.0.1:8080")];
        let plain = Program::jotgate(binary, &address)?;
        register(plain.address, 1).await?;
        let token = log_in(plain.address, 0..1, 1).await?.remove(0).access;
        let folder = plain.end().ok_or("no folder")?;
        let mut command = callgrind(log.path());
        command
            .arg(binary.canonicalize()?)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .envs(address)
            .env("TOKIO_WORKER_THREADS", "1")
            .current_dir(folder.path())
            .stderr(std::fs::File::create(folder.path().join("log"))?);
        let counted = Program::start(&mut command, Some(folder))?;
        let request = format!("GET /auth/verify HTTP/1.1\r\nhost: localhost\r\n{}\r\n\r\n", header(&token));
        // The last one is not sent.
        let client = Times { request, left: times + 1 };
        let (tally, _) = closed(counted.address, vec![client], Duration::from_secs(600)).await?;
        counted.stop()?;
        if tally.statuses.keys().any(|status| *status != 200) || tally.count(200) < f64::from(times) {
            return Err(format!("/auth/verify: {:?}", tally.statuses).into());
        }
        collected(log.path())
    })
}

fn callgrind(log: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--log-file={}", log.display()));
    command
}

/// What callgrind said at the end.
fn collected(log: &Path) -> Outcome<u64> {
    let log = std::fs::read_to_string(log)?;
    let line = log.lines().find(|line| line.contains("Collected :")).ok_or_else(|| log.clone())?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grew_by_more_than_a_tenth_or_is_new_is_named() {
        let recorded = Recorded::parse("# rustc 1, valgrind 3\na\t100\nb\t100\nc\t100\n").unwrap();
        assert_eq!(recorded.made_with, "# rustc 1, valgrind 3");
        let verdict = recorded.verdict(&BTreeMap::from([("a", 110), ("b", 111), ("c", 50), ("d", 1)]));
        assert_eq!(verdict.grown, ["b (+11.0 %)", "d (new)"]);
        assert!(verdict.table.contains("-50.0 %"), "{}", verdict.table);
        assert!(Recorded::parse("#\nnonsense").is_err());
    }

    #[test]
    fn every_path_can_be_worked() {
        for (path, _) in PATHS.iter().filter(|(path, _)| !path.starts_with("GET")) {
            work(path, 2).unwrap();
        }
        assert!(work("none", 1).is_err());
    }

    #[test]
    fn the_recorded_counts_are_of_these_paths() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = std::fs::read_to_string(root.join(RECORDED)).unwrap();
        let recorded = Recorded::parse(&text).unwrap();
        let mut paths = PATHS.map(|(path, _)| path);
        paths.sort_unstable();
        assert_eq!(recorded.counts.keys().copied().collect::<Vec<_>>(), paths);
    }
}
