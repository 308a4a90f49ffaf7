//! The tests that each follower has in its own language, for whoever copies it: what it makes of what an issuer says,
//! word for word.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{left_out, root};

use super::fleet::tool;

#[test]
fn the_follower_in_node_holds_its_own_tests() {
    let test = "the_follower_in_node_holds_its_own_tests";
    let new_enough = "process.exit(process.versions.node.split('.')[0] < 20 ? 1 : 0)";
    if !there(test, "node", &["-e", new_enough]) {
        return;
    }
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=tap"]).arg(source("node/jotgate-feed.test.mjs"));
    passes(&mut command, "# pass 6\n");
}

#[test]
fn the_follower_in_python_holds_its_own_tests() {
    let test = "the_follower_in_python_holds_its_own_tests";
    if !there(test, "python3", &["-c", "import sys; assert sys.version_info >= (3, 9)"]) {
        return;
    }
    let mut command = Command::new("python3");
    command.args(["-m", "unittest"]).current_dir(source("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    passes(&mut command, "Ran 6 tests");
}

/// In a module of its own: it needs nothing of the server's beside it.
#[test]
fn the_follower_in_go_holds_its_own_tests() {
    if !there("the_follower_in_go_holds_its_own_tests", "go", &["version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("go.mod"), "module follower\n\ngo 1.22\n").unwrap();
    for file in ["jotgate_feed.go", "jotgate_feed_test.go"] {
        std::fs::copy(source("go/jotgatefeed").join(file), folder.path().join(file)).unwrap();
    }
    let mut command = Command::new("go");
    command.args(["test", "-count=1", "-v", "."]).current_dir(folder.path());
    command.envs([("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")]);
    command.env("GOCACHE", root().join("target/e2e/resource-servers/go/cache"));
    passes(&mut command, "--- PASS: TestNewsThatWereHeardBeforeAreNone");
}

#[test]
fn the_follower_in_java_holds_its_own_tests() {
    if !there("the_follower_in_java_holds_its_own_tests", "javac", &["--release", "17", "-version"]) {
        return;
    }
    let classes = tempfile::tempdir().unwrap();
    let mut compiler = Command::new("javac");
    compiler.args(["--release", "17", "-d"]).arg(classes.path());
    for file in ["src/main/java/notes/JotgateFeed.java", "src/test/java/notes/JotgateFeedTest.java"] {
        compiler.arg(source("java").join(file));
    }
    passes(&mut compiler, "");
    let mut java = Command::new("java");
    passes(java.arg("-cp").arg(classes.path()).arg("notes.JotgateFeedTest"), "6 tests hold");
}

fn source(path: &str) -> PathBuf {
    Path::new(&root()).join("examples/resource-servers").join(path)
}

fn there(test: &str, program: &str, arguments: &[&str]) -> bool {
    tool(program, arguments).map_err(|missing| left_out(test, &missing)).is_ok()
}

/// It ends well, and says this.
fn passes(command: &mut Command, words: &str) {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && said.contains(words), "{command:?}\n{said}");
}
