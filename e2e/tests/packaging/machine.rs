//! A Debian of its own: unpacked from what `cargo xtask test` made, booted by systemd-nspawn without a network, and
//! gone with the test, however that ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Until systemd has started everything.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// Boots the folder `$1` in a cgroup of its own, called `$2`; ends it when standard input closes. Killing the outer
/// `unshare` ends every process in there, and no machine outlives it.
const GUARD: &str = r#"
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  if [ -e "$tree/cgroup.procs" ] && mkdir "$tree/$2" 2>/dev/null; then echo $$ > "$tree/$2/cgroup.procs"; fi
done
unshare --pid --fork --kill-child=KILL --mount-proc systemd-nspawn --quiet --register=no --keep-unit --link-journal=no \
  --private-network --console=pipe --directory "$1" --boot </dev/null >"$1.log" 2>&1 &
echo $!
read -r _
exec 2>/dev/null
kill -KILL $!
wait $!
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  if [ -d "$tree/$2" ]; then
    echo $$ > "$tree/cgroup.procs"
    # What was killed takes a moment to be gone.
    for try in {1..50}; do
      find "$tree/$2" -depth -type d -exec rmdir {} \;
      [ -d "$tree/$2" ] || break
      sleep 0.1
    done
  fi
done
rm -rf "$1" "$1.log"
"#;

/// A booted machine.
pub(crate) struct Machine {
    guard: Child,
    /// Its first process, as seen from here.
    init: u32,
    root: PathBuf,
    _folder: TempDir,
}

impl Machine {
    /// Unpacks and boots one; the error says why there is none here.
    pub(crate) fn boot() -> Result<Self, String> {
        let archive = crate::package::root().join("target/e2e/debian-root.tar");
        if !archive.is_file() {
            return Err("there is no test root; `cargo xtask test --only packaging` makes it".to_owned());
        }
        if !rustix::process::geteuid().is_root() {
            return Err("needs root, for a machine of its own".to_owned());
        }
        let folder = tempfile::Builder::new().prefix("jotgate-machine-").tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let unpacked = Command::new("tar").args(["-xf"]).arg(&archive).arg("-C").arg(&root).status().unwrap();
        assert!(unpacked.success(), "{} cannot be unpacked", archive.display());
        let name = folder.path().file_name().unwrap();
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard"])
            .arg(&root)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(guard.stdout.as_mut().unwrap()), &mut said)
            .unwrap();
        let outer = said.trim().parse().expect("the guard says a process id");
        let mut machine = Self { guard, init: 0, root, _folder: folder };
        machine.wait_until_booted(outer)?;
        Ok(machine)
    }

    fn wait_until_booted(&mut self, outer: u32) -> Result<(), String> {
        let begin = Instant::now();
        let log = || fs::read_to_string(self.root.with_extension("log")).unwrap_or_default();
        loop {
            // unshare, systemd-nspawn, and then the machine.
            if let Some(init) = child_of(outer).and_then(child_of) {
                let mut state = enter(init, &["systemctl", "is-system-running"]);
                let state = state.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                if state.is_ok_and(|state| ["running", "degraded"].contains(&state.trim())) {
                    self.init = init;
                    return Ok(());
                }
            }
            if !Path::new(&format!("/proc/{outer}")).exists() || begin.elapsed() > BOOT_LIMIT {
                return Err(format!("systemd does not boot in a container here: {}", log().trim()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs a shell's line in the machine, as root; what it printed on both outputs.
    pub(crate) fn try_run(&self, line: &str) -> (bool, String) {
        let Output { status, stdout, stderr } =
            enter(self.init, &["bash", "-c", line]).stdin(Stdio::null()).output().unwrap();
        (
            status.success(),
            format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)),
        )
    }

    /// The same, which must succeed.
    pub(crate) fn run(&self, line: &str) -> String {
        let (well, said) = self.try_run(line);
        assert!(well, "{line}\n{said}\n{}", self.journal());
        said.trim_end().to_owned()
    }

    /// Asks the server in the machine with `curl`, as from the same machine: status and body.
    pub(crate) fn curl(&self, arguments: &[&str]) -> (String, String) {
        let output = Command::new("nsenter")
            .args(["--target", &self.init.to_string(), "--net", "curl", "-s", "-w", "\n%{http_code}"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (body, status) = said.rsplit_once('\n').expect("curl says a status");
        (status.to_owned(), body.to_owned())
    }

    /// Waits until the server answers.
    pub(crate) fn wait_for(&self, url: &str) {
        let begin = Instant::now();
        while self.curl(&[url]).0 != "200" {
            assert!(begin.elapsed() < Duration::from_secs(30), "no answer from {url}\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A file of the machine, from outside.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn journal(&self) -> String {
        self.try_run("systemctl status --no-pager jotgate; journalctl --no-pager -n 40").1
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A command in the namespaces of the machine, with an environment of its own.
fn enter(init: u32, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &init.to_string(), "--all", "--wdns=/", "--", "env", "-i"]);
    command.args([
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LANG=C.UTF-8",
    ]);
    command.args(words);
    command
}

fn child_of(process: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
