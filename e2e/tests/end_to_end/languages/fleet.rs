//! The example resource servers of `examples/resource-servers/` as processes, one a language, all of one issuer.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use e2e::{Client, left_out, root};
use serde_json::Value;
use tempfile::TempDir;

pub(super) const LANGUAGES: [&str; 5] = ["Node", "Python", "Go", "Java", "Rust"];
/// A virtual machine starts slowly on a busy one.
const START_LIMIT: Duration = Duration::from_secs(300);

/// How each is started, built once a run; what is missing on this machine is none.
static PROGRAMS: LazyLock<Vec<(&'static str, Program)>> = LazyLock::new(|| {
    let built = LANGUAGES.map(|language| (language, build(language)));
    let there = built.into_iter().filter_map(|(language, built)| match built {
        Ok(program) => Some((language, program)),
        Err(missing) => {
            left_out(&format!("resource_servers in {language}"), &missing);
            None
        }
    });
    there.collect()
});

struct Program {
    folder: PathBuf,
    words: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// They follow one issuer, and end with this.
pub(super) struct Fleet {
    pub(super) members: Vec<Member>,
    _logs: TempDir,
}

pub(super) struct Member {
    pub(super) language: &'static str,
    url: String,
    child: Child,
    log: PathBuf,
}

impl Fleet {
    /// Starts all, and waits until each answers. `stale_after`: seconds.
    pub(super) fn start(issuer: &str, audience: &str, stale_after: u64) -> Self {
        let mut fleet = Self::spawn(issuer, audience, stale_after, &[]);
        fleet.ready();
        fleet
    }

    /// Starts all, with these variables too.
    pub(super) fn spawn(
        issuer: &str,
        audience: &str,
        stale_after: u64,
        environment: &[(&str, String)],
    ) -> Self {
        let logs = tempfile::Builder::new().prefix("jotgate-languages-").tempdir().unwrap();
        let start = |(language, program): &(&'static str, Program)| {
            let log = logs.path().join(language);
            let (out, error) =
                (File::create(&log).unwrap(), File::options().append(true).open(&log).unwrap());
            // Taken and given back: nobody else is likely to get it before the program does.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let port_text = port.to_string();
            let words = program.words.iter().map(|word| word.replace("PORT", &port_text));
            let words: Vec<_> = words.collect();
            let child = Command::new(&words[0])
                .args(&words[1..])
                .current_dir(&program.folder)
                .envs(program.environment.iter().map(|(name, value)| (name, value)))
                .envs([("ISSUER", issuer), ("AUDIENCE", audience), ("PORT", &port_text)])
                .env("STALE_AFTER", stale_after.to_string())
                .envs(environment.iter().map(|(name, value)| (name, value)))
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(error)
                .spawn()
                .unwrap_or_else(|error| panic!("{language}: {error}"));
            Member { language, url: format!("http://127.0.0.1:{port}"), child, log }
        };
        let fleet = Self { members: PROGRAMS.iter().map(start).collect(), _logs: logs };
        assert!(!fleet.members.is_empty(), "Rust at least is there");
        fleet
    }

    /// Waits until each answers.
    pub(super) fn ready(&mut self) {
        let begin = Instant::now();
        for member in &mut self.members {
            while member.health().is_none() {
                let ended = member.child.try_wait().unwrap();
                assert!(ended.is_none() && begin.elapsed() < START_LIMIT, "{ended:?}: {}", member.said());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Waits until it holds of each, at most so long; when it first did.
    pub(super) fn wait(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Member) -> bool + Sync,
    ) -> Vec<Instant> {
        let begin = Instant::now();
        let wait = |member: &Member| {
            while !holds(member) {
                assert!(
                    begin.elapsed() < limit,
                    "{}: not {what} within {limit:?}\n{:?}\n{}",
                    member.language,
                    member.health(),
                    member.said()
                );
                std::thread::sleep(Duration::from_millis(5));
            }
            Instant::now()
        };
        let wait = &wait;
        std::thread::scope(|scope| {
            let all: Vec<_> = self.members.iter().map(|member| scope.spawn(move || wait(member))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }
}

impl Member {
    /// Status and challenge. These servers are held to what they say, not to how they frame it.
    pub(super) fn ask(&self, method: &str, authorization: Option<&str>) -> (u16, String) {
        let authorization =
            authorization.map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
        let host = self.url.strip_prefix("http://").unwrap();
        let request =
            format!("{method} /notes HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}\r\n");
        let mut stream = TcpStream::connect(host)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.language, self.said()));
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // Who refuses a long head may answer before it has read it.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let head = answer.split("\r\n\r\n").next().unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let challenge = head.lines().filter_map(|line| line.split_once(": "));
        let challenge = challenge.filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        (status, challenge.map(|(_, value)| value).collect())
    }

    /// The status of a request that reads with this token.
    pub(super) fn reads(&self, token: &str) -> u16 {
        self.ask("GET", Some(&format!("Bearer {token}"))).0
    }

    /// None while it does not listen.
    pub(super) fn health(&self) -> Option<Value> {
        Some(Client::to(&self.url).get("/healthz").try_send().ok()?.is(200).json())
    }

    /// Resident memory in MiB.
    pub(super) fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub(super) fn said(&self) -> String {
        format!("--- {} said:\n{}", self.language, std::fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What starts the example of a language, or what is missing for it.
fn build(language: &str) -> Result<Program, String> {
    let name = language.to_lowercase();
    let source = root().join("examples/resource-servers").join(&name);
    let target = root().join("target/e2e/resource-servers").join(&name);
    let program = |folder: &Path, words: &[&str], environment: Vec<(&'static str, String)>| Program {
        folder: folder.to_owned(),
        words: words.iter().map(|&word| word.to_owned()).collect(),
        environment,
    };
    match language {
        "Node" => {
            needs(&target.join("node_modules/jose"), "its packages are not installed")?;
            tool("node", &["--version"])?;
            for file in ["server.mjs", "jotgate-feed.mjs"] {
                std::fs::copy(source.join(file), target.join(file)).unwrap();
            }
            Ok(program(&target, &["node", "server.mjs"], vec![]))
        }
        "Python" => {
            needs(&target.join("fastapi"), "its packages are not installed")?;
            tool("python3", &["-c", "import sys; assert sys.version_info >= (3, 9)"])?;
            let words =
                ["python3", "-m", "uvicorn", "server:app", "--port", "PORT", "--log-level", "warning"];
            let path = ("PYTHONPATH", target.to_str().unwrap().to_owned());
            Ok(program(&source, &words, vec![path, ("PYTHONDONTWRITEBYTECODE", "1".to_owned())]))
        }
        "Go" => {
            needs(&target.join("mod"), "its modules are not installed")?;
            let binary = target.join("server");
            let mut go = Command::new("go");
            go.args(["build", "-o"]).arg(&binary).arg(".").current_dir(&source);
            go.env("GOMODCACHE", target.join("mod")).env("GOCACHE", target.join("cache"));
            go.envs([("GOPROXY", "off"), ("GOFLAGS", "-mod=readonly"), ("CGO_ENABLED", "0")]);
            make(&mut go, &["requires go >=", "disabled by GOPROXY=off"])?;
            Ok(program(&source, &[binary.to_str().unwrap()], vec![]))
        }
        "Java" => {
            let repository = root().join("target/e2e/maven");
            needs(&repository, "its packages are not installed")?;
            tool("java", &["-version"])?;
            let mut maven = Command::new("mvn");
            maven.args(["-o", "-q", "-B", "package"]).current_dir(&source);
            maven.arg(format!("-Dmaven.repo.local={}", repository.display()));
            maven.arg(format!("-DbuildDirectory={}", target.display()));
            make(
                &mut maven,
                &["in offline mode", "has not been downloaded", "release version 17 not supported"],
            )?;
            let jar = target.join("resource-server.jar");
            let words = [
                "java",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xmx128m",
                "-jar",
                jar.to_str().unwrap(),
            ];
            Ok(program(&source, &words, vec![]))
        }
        _ => Ok(program(&source, &[env!("CARGO_BIN_EXE_resource-server")], vec![])),
    }
}

fn needs(path: &Path, missing: &str) -> Result<(), String> {
    if path.exists() { Ok(()) } else { Err(format!("{missing}: `cargo xtask test e2e` installs them")) }
}

pub(super) fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new(program).args(arguments).output();
    let good = ran.is_ok_and(|ran| ran.status.success());
    if good { Ok(()) } else { Err(format!("no {program} that can run it")) }
}

/// Builds it. What is `missing` here leaves it out; anything else that goes wrong is the example's fault.
fn make(command: &mut Command, missing: &[&str]) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Ok(ran) = command.output() else { return Err(format!("no {name}")) };
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    if ran.status.success() {
        return Ok(());
    }
    match missing.iter().find(|sign| said.contains(**sign)) {
        Some(sign) => Err(format!("{name} cannot build it here: {sign}")),
        None => panic!("{said}"),
    }
}
