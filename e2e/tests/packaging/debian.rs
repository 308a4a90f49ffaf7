//! The Debian package, from its files to the purge.

use crate::machine::Machine;
use crate::package::{Packages, packages, root};
use serde_json::Value;
use std::process::Command;

const SERVER: &str = "http://127.0.0.1:8080";
const ADA: &str = r#"{"username":"ada","password":"correct horse battery"}"#;

/// Debian's own checker has no error; what the package says of itself is true.
#[test]
fn the_package_is_in_form() {
    let Some(packages) = made("the_package_is_in_form") else { return };
    let version = field(packages, "Version");
    let changelog = std::fs::read_to_string(root().join("packaging/debian/changelog")).unwrap();
    assert!(
        changelog.starts_with(&format!("jotgate ({version}) ")),
        "{version} is not in packaging/debian/changelog"
    );
    let maintainer = field(packages, "Maintainer");
    assert!(changelog.contains(&format!("\n -- {maintainer}  ")), "{maintainer} did not sign the changelog");
    let depends = field(packages, "Depends");
    assert!(depends.contains("libc6 (>= ") && depends.contains("adduser"), "{depends}");

    match Command::new("lintian").args(["--fail-on", "error", "--"]).arg(&packages.first).output() {
        Ok(checked) => {
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        }
        Err(_) => e2e::left_out("the_package_is_in_form", "lintian is missing, its verdict is"),
    }
}

/// The configuration as shipped holds, and so does every line of it that a reader may take the comment from.
#[test]
fn the_configuration_file_is_right_as_it_is_and_uncommented() {
    let shipped = std::fs::read_to_string(root().join("packaging/debian/jotgate.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["database-url", "fullchain.pem", "privkey.pem"] {
        std::fs::write(folder.path().join(name), "postgres://jotgate@db.example/jotgate").unwrap();
    }
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let mut keys = 0;
    let lines = shipped.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => {
            keys += 1;
            rest
        }
        _ => line,
    });
    let uncommented = lines.collect::<Vec<_>>().join("\n");
    assert!(keys > 5, "{uncommented}");
    let here = folder.path().display().to_string();
    for text in [shipped.clone(), uncommented] {
        // Its folders are those of an installed system.
        let text = text.replace("/var/lib/jotgate", &here).replace("/etc/jotgate", &here);
        std::fs::write(folder.path().join("jotgate.toml"), &text).unwrap();
        let checked = e2e::jotgate(folder.path()).args(["config", "check"]).output().unwrap();
        assert!(checked.status.success(), "{text}\n{}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// Installed, it runs, as its own user and with nothing it does not need; an upgrade keeps what was configured and
/// who is signed in; removal keeps the data, and even a purge does not take keys away.
#[test]
fn installed_started_upgraded_removed_and_purged() {
    let name = "installed_started_upgraded_removed_and_purged";
    let Some((machine, packages)) = installed(name) else { return };

    // Nobody was asked, nothing was edited, and it runs already.
    machine.wait_for(&format!("{SERVER}/readyz"));
    assert_eq!(machine.run("systemctl is-active jotgate; systemctl is-enabled jotgate"), "active\nenabled");
    for (path, expected) in [
        ("/usr/bin/jotgate", "root:root 755"),
        ("/etc/jotgate/jotgate.toml", "root:jotgate 640"),
        ("/var/lib/jotgate", "jotgate:jotgate 700"),
        ("/var/lib/jotgate/master.key", "jotgate:jotgate 600"),
        ("/var/lib/jotgate/jotgate.db", "jotgate:jotgate 600"),
    ] {
        assert_eq!(machine.run(&format!("stat -c '%U:%G %a' {path}")), expected, "{path}");
    }
    assert_eq!(machine.run("getent passwd jotgate | cut -d : -f 6-"), "/var/lib/jotgate:/usr/sbin/nologin");
    assert!(machine.run("dpkg -s jotgate").contains("\nConffiles:\n /etc/jotgate/jotgate.toml "));
    is_confined(&machine);

    // An administrator's commands, as the file says.
    assert_eq!(machine.curl(&["--json", ADA, &format!("{SERVER}/auth/register")]).0, "201");
    let listed = machine
        .run("cd /etc/jotgate && setpriv --reuid jotgate --regid jotgate --init-groups jotgate user list");
    assert!(listed.contains("ada"), "{listed}");
    let before = login(&machine);

    // A higher version comes while the configuration is edited.
    machine.run("echo 'session.idle_ttl = \"3d\"' >> /etc/jotgate/jotgate.toml && systemctl restart jotgate");
    machine.wait_for(&format!("{SERVER}/readyz"));
    let edited = machine.run("md5sum /etc/jotgate/jotgate.toml");
    let process = machine.run("systemctl show -p MainPID jotgate");
    install(&machine, &packages.next);
    assert!(machine.run("dpkg -s jotgate").contains("\nVersion: 99.0.0-1\n"));
    machine.wait_for(&format!("{SERVER}/readyz"));
    assert_ne!(machine.run("systemctl show -p MainPID jotgate"), process, "the old program still runs");
    assert_eq!(machine.run("md5sum /etc/jotgate/jotgate.toml"), edited);
    assert_eq!(machine.run("stat -c '%U:%G %a' /etc/jotgate/jotgate.toml"), "root:jotgate 640");
    let refresh = serde_json::json!({"refresh_token": before["refresh_token"]}).to_string();
    assert_eq!(machine.curl(&["--json", &refresh, &format!("{SERVER}/auth/refresh")]).0, "200");
    login(&machine);

    // Stopped in order: nothing that systemd would call a failure.
    machine.run("dpkg --remove jotgate");
    assert_eq!(machine.curl(&[&format!("{SERVER}/healthz")]).0, "000", "it still runs");
    assert!(machine.run("journalctl -u jotgate --no-pager").contains("Deactivated successfully"));
    assert!(!machine.path("/usr/bin/jotgate").exists());
    for kept in ["/etc/jotgate/jotgate.toml", "/var/lib/jotgate/master.key", "/var/lib/jotgate/jotgate.db"] {
        assert!(machine.path(kept).exists(), "{kept} is gone");
    }

    // Installed again it goes on with what it had.
    install(&machine, &packages.next);
    machine.wait_for(&format!("{SERVER}/readyz"));
    login(&machine);

    let said = machine.run("dpkg --purge jotgate");
    assert!(said.contains("users and keys are kept in /var/lib/jotgate"), "{said}");
    assert!(!machine.path("/etc/jotgate").exists());
    assert!(machine.path("/var/lib/jotgate/master.key").exists());
    let left = machine.run("find /etc /usr /var/lib/systemd -name '*jotgate*'");
    assert_eq!(left, "", "left behind");
}

/// The journal says what is wrong with the configuration, and mended it starts by itself, however late.
#[test]
fn a_mistake_in_the_configuration_is_told_and_mended_it_starts() {
    let Some((machine, _)) = installed("a_mistake_in_the_configuration_is_told_and_mended_it_starts") else {
        return;
    };
    machine.run("echo 'sesion.idle_ttl = \"3d\"' >> /etc/jotgate/jotgate.toml");
    machine.try_run("systemctl restart jotgate");
    // By default systemd gives up after five.
    machine.run(
        "timeout 60 bash -c 'until [ $(systemctl show -P NRestarts jotgate) -gt 5 ]; do sleep 0.2; done'",
    );
    let journal = machine.run("journalctl -u jotgate --no-pager");
    assert!(journal.contains("session.idle_ttl"), "{journal}");
    machine.run("sed -i s/^sesion/session/ /etc/jotgate/jotgate.toml");
    machine.wait_for(&format!("{SERVER}/readyz"));
}

/// Killed, it is started again.
#[test]
fn killed_it_comes_back() {
    let Some((machine, _)) = installed("killed_it_comes_back") else { return };
    machine.wait_for(&format!("{SERVER}/readyz"));
    machine.run("systemctl kill --signal=KILL jotgate");
    machine
        .run("timeout 20 bash -c 'until [ $(systemctl show -P NRestarts jotgate) = 1 ]; do sleep 0.1; done'");
    machine.wait_for(&format!("{SERVER}/readyz"));
}

/// What docs/install.md says for HTTPS on port 443 in the server itself.
#[test]
fn a_low_port_takes_the_drop_in_of_the_document() {
    let Some((machine, _)) = installed("a_low_port_takes_the_drop_in_of_the_document") else { return };
    let document = std::fs::read_to_string(root().join("docs/install.md")).unwrap();
    let (_, rest) = document.split_once("```ini\n").expect("the drop-in");
    let (drop_in, _) = rest.split_once("```").unwrap();
    machine.wait_for(&format!("{SERVER}/readyz"));
    machine.run("sed -i 's/^# listen = .*/listen = \"127.0.0.1:443\"/' /etc/jotgate/jotgate.toml");
    machine.run("systemctl restart jotgate; sleep 1");
    assert_ne!(machine.curl(&["http://127.0.0.1:443/readyz"]).0, "200", "the drop-in is not needed");
    std::fs::create_dir_all(machine.path("/etc/systemd/system/jotgate.service.d")).unwrap();
    std::fs::write(machine.path("/etc/systemd/system/jotgate.service.d/override.conf"), drop_in).unwrap();
    machine.run("systemctl daemon-reload && systemctl restart jotgate");
    machine.wait_for("http://127.0.0.1:443/readyz");
}

/// What the unit promises, of the process that runs.
fn is_confined(machine: &Machine) {
    machine.run("systemd-analyze verify jotgate.service");
    // 10 is no confinement at all; 1.2 is what is left of a server that speaks over the network.
    machine.run("systemd-analyze security --threshold=15 jotgate.service");
    let status = machine.run("cat /proc/$(systemctl show -P MainPID jotgate)/status");
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}\n{status}");
    }
    let user = machine.run("id -u jotgate");
    assert!(status.contains(&format!("Uid:\t{user}\t{user}\t{user}\t{user}")), "{status}");
    let journal = machine.run("journalctl -u jotgate --no-pager");
    assert!(!journal.contains("\"level\":\"warn\"") && !journal.contains("\"level\":\"error\""), "{journal}");
}

fn login(machine: &Machine) -> Value {
    let (status, body) = machine.curl(&["--json", ADA, &format!("{SERVER}/auth/login")]);
    assert_eq!(status, "200", "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let bearer = format!("Authorization: Bearer {}", answer["access_token"].as_str().unwrap());
    assert_eq!(machine.curl(&["-H", &bearer, &format!("{SERVER}/auth/me")]).0, "200");
    answer
}

/// A machine on which the package was just installed.
pub(crate) fn installed(test: &str) -> Option<(Machine, &'static Packages)> {
    let packages = made(test)?;
    match Machine::boot() {
        Ok(machine) => {
            install(&machine, &packages.first);
            Some((machine, packages))
        }
        Err(reason) => {
            e2e::left_out(test, &reason);
            None
        }
    }
}

fn made(test: &str) -> Option<&'static Packages> {
    packages().map_err(|reason| e2e::left_out(test, &reason)).ok()
}

fn install(machine: &Machine, package: &std::path::Path) {
    std::fs::copy(package, machine.path("/root/jotgate.deb")).unwrap();
    machine.run("dpkg --force-confdef --install /root/jotgate.deb && rm /root/jotgate.deb");
}

fn field(packages: &Packages, name: &str) -> String {
    let output = Command::new("dpkg-deb").arg("--field").arg(&packages.first).arg(name).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
