//! Attack 199: the disk is full, refuses every write, may not be written, is gone. Writes answer 503, whatever
//! needs no write goes on, nothing that was answered is lost, and nobody has to restart anything.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Server, left_out};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::crowd::{Crowd, Doing};

/// Work, the fault, its end, work again.
fn survives(fault: &str, server: Server, cause: impl FnOnce(&Server), cure: impl FnOnce(&Server)) {
    let process = server.pid();
    let crowd = Crowd::gather(&server, 6, Doing::Everything);
    crowd.works(60);
    cause(&server);
    super::until("writes are refused", || crowd.writes.refused() >= 30);
    let ready = server.client().get("/healthz").send();
    cure(&server);
    ready.expect(200);
    crowd.works(60);
    server.client().get("/readyz").send().expect(200);
    let (writes, reads) = (crowd.writes.clone(), crowd.reads.clone());
    let lost = crowd.judge(&server);
    writes.print(fault, "login, refresh, logout", lost);
    reads.print(fault, "verify, JWK Set, feed, status list", 0);
    assert_eq!((lost, writes.failed(), writes.cut()), (0, 0, 0));
    assert_eq!((reads.refused(), reads.failed(), reads.cut()), (0, 0, 0));
    assert_eq!(server.pid(), process);
}

#[test]
fn a_full_disk() {
    // A small file system of its own for the data directory, which only this server sees.
    let script = "mkdir -m 700 jotgate-data && mount -t tmpfs -o size=4m,mode=700 none jotgate-data \
                  && exec \"$0\" \"$@\"";
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    let mut probe = Command::new(namespace[0]);
    probe.args(&namespace[1..]).args(["mount", "-t", "tmpfs", "none", "/mnt"]);
    if !probe.output().is_ok_and(|probe| probe.status.success()) {
        return left_out("a_full_disk", "no file system can be mounted here");
    }
    let wrapper = [&namespace[..], &["sh", "-c", script]].concat();
    let server = Server::with().behind(&wrapper).start();
    let ballast = |server: &Server| {
        let inside = PathBuf::from(format!("/proc/{}/root", server.pid()));
        inside.join(data(server).strip_prefix("/").unwrap()).join("ballast")
    };
    survives(
        "disk full (SQLite)",
        server,
        |server| {
            // More than there is room for: it takes all.
            let all = std::fs::write(ballast(server), vec![1; 8 << 20]);
            assert_eq!(all.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        },
        |server| std::fs::remove_file(ballast(server)).unwrap(),
    );
}

/// Also what a limit on the size of files does (`LimitFSIZE=`, `ulimit -f`), of which a process dies by default.
#[test]
fn a_disk_that_refuses_every_write() {
    let limit = |server: &Server, current| {
        let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
        let maximum = getrlimit(Resource::Fsize).maximum;
        prlimit(pid, Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    survives(
        "every write to the disk fails (SQLite)",
        Server::start(),
        |server| limit(server, Some(0)),
        |server| limit(server, getrlimit(Resource::Fsize).maximum),
    );
}

/// The rights to the data directory are taken away, and given back.
#[test]
fn a_disk_that_may_not_be_read_or_written() {
    // For the super-user nothing is forbidden: be somebody else, who can run a copy of the program.
    let script = "chown 65534 . && cp \"$0\" ./program && \
                  exec setpriv --reuid=65534 --regid=65534 --clear-groups ./program \"$@\"";
    let server = if !rustix::process::geteuid().is_root() {
        Server::start()
    } else if Command::new("setpriv").arg("--version").output().is_ok() {
        Server::with().behind(&["sh", "-c", script]).start()
    } else {
        let reason = "the super-user may do everything, and setpriv is not here";
        return left_out("a_disk_that_may_not_be_read_or_written", reason);
    };
    let mode = |server: &Server, mode| {
        std::fs::set_permissions(data(server), Permissions::from_mode(mode)).unwrap();
    };
    survives(
        "no rights to the data directory (SQLite)",
        server,
        |server| mode(server, 0o000),
        |server| mode(server, 0o700),
    );
}

#[test]
fn a_disk_that_is_gone() {
    let away = |server: &Server| server.folder().join("away");
    survives(
        "data directory gone and back (SQLite)",
        Server::start(),
        |server| std::fs::rename(data(server), away(server)).unwrap(),
        |server| std::fs::rename(away(server), data(server)).unwrap(),
    );
}

fn data(server: &Server) -> PathBuf {
    Path::new(server.folder()).join("jotgate-data")
}
