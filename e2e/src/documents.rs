//! Runs the commands of the documentation and compares what it says they print; follows its links to other files.
//!
//! An HTML comment, which no reader sees, stands on a line of its own before each block of shell commands:
//!
//! | comment | the block that follows |
//! |---|---|
//! | `<!-- serves -->` | starts a server that stays until the end of the document |
//! | `<!-- runs -->` | runs, and every command in it must succeed |
//! | `<!-- prints -->` | of any language: what the last `runs` block printed on its standard output |
//! | `<!-- not run: REASON -->` | is not run here |
//! | `<!-- file: PATH -->` | of any language: is that file of the repository, whole |
//!
//! A block of `sh` without one is an error, so that nothing in the documents is untried by accident. The blocks of a
//! document share one shell (`bash`, ending at the first failure) in an empty folder, with the `jotgate` binary on
//! its path; `cargo run --release --` means that binary. The server gets a free port, which takes the place of
//! `127.0.0.1:8080` and `localhost:8080` in commands, and the other way round in what they print.
//!
//! In a comparison, what differs from run to run (tokens, ids, times, durations) counts as equal, `…` stands for any
//! text within a line, and a line of only `…` for any number of lines.

use crate::program;
use regex_lite::Regex;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where a server without configuration listens, and so what documents show.
const SHOWN: &str = "127.0.0.1:8080";
/// A block may take this long.
const LIMIT: Duration = Duration::from_secs(60);

/// One block of a document that matters here.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Serves,
    Runs,
    Prints,
    NotRun,
}

/// Runs the Markdown file at `path`, from the root of the repository, and fails at the first thing untrue in it.
/// Answers how many blocks ran.
pub fn run(path: &str) -> usize {
    let markdown =
        std::fs::read_to_string(program::root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    for link in links(&markdown) {
        if let Err(problem) = follow(path, &markdown, &link) {
            panic!("{path}: the link {link}: {problem}");
        }
    }
    for (file, shown) in files(&markdown) {
        let text = std::fs::read_to_string(program::root().join(&file)).unwrap_or_default();
        assert!(text.trim_end() == shown, "{path}: the block is not {file} as it is");
    }
    let blocks = blocks(&markdown).unwrap_or_else(|problem| panic!("{path}:{problem}"));
    let ran = run_blocks(&blocks, Shell::start(program::binary()));
    ran.unwrap_or_else(|(line, problem)| panic!("{path}:{line}: {problem}"))
}

/// The blocks that show a file, with its path.
fn files(markdown: &str) -> Vec<(String, String)> {
    static FILE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?s)<!-- file: (\S+) -->\n```\w+\n(.*?)\n```").unwrap());
    let found: Vec<_> =
        FILE.captures_iter(markdown).map(|block| (block[1].to_owned(), block[2].to_owned())).collect();
    assert_eq!(found.len(), markdown.matches("<!-- file:").count(), "a block must follow `<!-- file: … -->`");
    found
}

/// Where links and images of a document lead, outside code.
fn links(markdown: &str) -> Vec<String> {
    static LINK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"\]\(([^()\s]+)\)|(?:src|href)="([^"]+)""#).unwrap());
    static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s)```.*?```|`[^`\n]*`").unwrap());
    let prose = CODE.replace_all(markdown, "");
    let targets = LINK.captures_iter(&prose).filter_map(|link| link.get(1).or(link.get(2)));
    targets.map(|target| target.as_str().to_owned()).collect()
}

/// A link within the repository must lead to a file, and to a heading of it; others are not followed.
fn follow(path: &str, markdown: &str, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let target = program::root().join(path).parent().expect("a folder").join(file);
    if !file.is_empty() && !target.exists() {
        return Err("there is no such file".to_owned());
    }
    let Some(heading) = heading else { return Ok(()) };
    let text = if file.is_empty() {
        markdown.to_owned()
    } else {
        std::fs::read_to_string(&target).unwrap_or_default()
    };
    let found = text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading);
    if found { Ok(()) } else { Err("there is no such heading".to_owned()) }
}

/// The anchor that forges make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Runs the blocks; a problem comes with the line of its block.
fn run_blocks(blocks: &[Block], mut shell: Shell) -> Result<usize, (usize, String)> {
    let mut printed = None;
    let mut ran = 0;
    for block in blocks {
        let at = |problem: String| (block.line, problem);
        match block.kind {
            Kind::NotRun => continue,
            Kind::Serves => shell.serve(&block.text).map_err(at)?,
            Kind::Runs => printed = Some(shell.run(&block.text).map_err(at)?),
            Kind::Prints => {
                let printed = printed.as_deref().ok_or_else(|| at("nothing ran before this".to_owned()))?;
                compare(&block.text, printed).map_err(at)?;
                continue;
            }
        }
        ran += 1;
    }
    Ok(ran)
}

/// The marked blocks of a document in order.
fn blocks(markdown: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut mark = None;
    let mut lines = markdown.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            let body: Vec<_> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            match mark.take() {
                Some(kind) => blocks.push(Block { line: number, kind, text: body.join("\n") }),
                None if language == "sh" => {
                    return Err(format!(
                        "{number}: say before this block whether it runs (see e2e/src/documents.rs)"
                    ));
                }
                None => {}
            }
        } else if let Some(comment) = line.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")) {
            mark = match comment.trim() {
                "serves" => Some(Kind::Serves),
                "runs" => Some(Kind::Runs),
                "prints" => Some(Kind::Prints),
                reason if reason.strip_prefix("not run:").is_some_and(|why| !why.is_empty()) => {
                    Some(Kind::NotRun)
                }
                _ => None,
            };
        } else if mark.is_some() && !line.is_empty() {
            return Err(format!("{number}: a block must follow the comment above"));
        }
    }
    match mark {
        Some(_) => Err("the last comment has no block".to_owned()),
        None => Ok(blocks),
    }
}

/// A `bash` that takes one block after the other.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    /// Lines of its own standard output, on which it says that a block is done.
    done: mpsc::Receiver<String>,
    folder: TempDir,
    count: u32,
    /// Where the server of this document listens: `127.0.0.1:PORT`.
    server: Option<String>,
}

impl Shell {
    fn start(binary: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("jotgate-docs-").tempdir().unwrap();
        for name in ["blocks", "work", "bin"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(binary, folder.path().join("bin/jotgate")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("JOTGATE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .current_dir(folder.path().join("work"))
            .env("PATH", format!("{}:{path}", folder.path().join("bin").display()))
            .env("JOTGATE_LISTEN", "127.0.0.1:0")
            .env("NO_COLOR", "1")
            .process_group(0) // so that all that the document starts ends with it
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        // However this test ends, its end of the pipe closes, the shell ends, and takes its servers with it.
        writeln!(stdin, "set -euo pipefail; trap 'kill -KILL 0' EXIT").unwrap();
        let done = lines_of(child.stdout.take().expect("a pipe"));
        Self { child, stdin, done, folder, count: 0, server: None }
    }

    /// Runs a block to its end; what it printed, with the documented address.
    fn run(&mut self, text: &str) -> Result<String, String> {
        let name = self.write_block(text);
        // Standard input is the pipe on which the blocks come: no command may read from it.
        let line = format!(
            ". ../blocks/{name} >../blocks/{name}.out 2>../blocks/{name}.err </dev/null; echo {name}"
        );
        if writeln!(self.stdin, "{line}").is_err() || self.done.recv_timeout(LIMIT).as_deref() != Ok(&name) {
            return Err(format!(
                "failed, or did not end within {LIMIT:?}:\n{text}\n{}",
                self.output_of(&name)
            ));
        }
        let printed = self.read(&format!("{name}.out"));
        Ok(match &self.server {
            Some(address) => printed.replace(address.as_str(), SHOWN),
            None => printed,
        })
    }

    /// Starts the server of the document and waits until it listens.
    fn serve(&mut self, text: &str) -> Result<(), String> {
        let name = self.write_block(text);
        let line = format!("(. ../blocks/{name}) >../blocks/{name}.out 2>../blocks/{name}.err </dev/null &");
        writeln!(self.stdin, "{line}").map_err(|_| "the shell has ended".to_owned())?;
        let begin = Instant::now();
        loop {
            let said = self.read(&format!("{name}.out"));
            if let Some((url, _)) = said.strip_prefix("listening on ").and_then(|rest| rest.split_once('\n'))
            {
                let (_, address) = url.split_once("://").ok_or_else(|| format!("no URL: {url}"))?;
                self.server = Some(address.to_owned());
                return Ok(());
            }
            if begin.elapsed() > LIMIT {
                return Err(format!("no server within {LIMIT:?}:\n{text}\n{}", self.output_of(&name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn write_block(&mut self, text: &str) -> String {
        self.count += 1;
        let name = format!("{}.sh", self.count);
        let mut text = text.replace("cargo run --release --", "jotgate");
        if let Some(address) = &self.server {
            text = text.replace(SHOWN, address).replace("localhost:8080", address);
        }
        std::fs::write(self.folder.path().join("blocks").join(&name), text).unwrap();
        name
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.path().join("blocks").join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn output_of(&self, name: &str) -> String {
        format!("{}{}", self.read(&format!("{name}.out")), self.read(&format!("{name}.err")))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn lines_of(from: ChildStdout) -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Holds what a document shows against what was printed.
fn compare(shown: &str, printed: &str) -> Result<(), String> {
    let (wanted, got) = (masked(shown), masked(printed));
    let (wanted, got): (Vec<_>, Vec<_>) = (wanted.trim().lines().collect(), got.trim().lines().collect());
    if lines_match(&wanted, &got) {
        return Ok(());
    }
    let mut problem = "the document shows something else than the command prints\n".to_owned();
    for (sign, lines) in [('-', &wanted), ('+', &got)] {
        for line in lines {
            let _ = writeln!(problem, "{sign} {line}");
        }
    }
    Err(problem)
}

fn lines_match(wanted: &[&str], got: &[&str]) -> bool {
    match wanted.split_first() {
        None => got.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=got.len()).any(|skip| lines_match(rest, &got[skip..]))
        }
        Some((first, rest)) => {
            got.split_first().is_some_and(|(line, left)| line_matches(first, line) && lines_match(rest, left))
        }
    }
}

fn line_matches(wanted: &str, got: &str) -> bool {
    let (wanted, mut got) = (wanted.trim_end(), got.trim_end());
    let Some((start, pieces)) = wanted.split_once('…') else { return wanted == got };
    let Some(rest) = got.strip_prefix(start) else { return false };
    got = rest;
    let mut pieces: Vec<_> = pieces.split('…').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = got.find(piece) else { return false };
        got = &got[at + piece.len()..];
    }
    got.ends_with(end)
}

/// The text with a name in place of whatever differs from run to run.
fn masked(text: &str) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let masks = [
            (r"eyJ[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*){0,2}", "<jwt>"),
            (r"jgr_[A-Za-z0-9_-]*", "<refresh token>"),
            (r"jg[cs]_[A-Za-z0-9_-]*", "<secret>"),
            (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
            // Hyphens at the beginning, but no rule of hyphens alone.
            (r"\w[\w-]{21,}|-\w[\w-]{20,}|--\w[\w-]{19,}", "<id>"),
            (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?", "<time>"),
            (r"\b\d{10}\b", "<seconds>"),
            (r"\b\d+(\.\d+)? ?(µs|ms|s)\b", "<duration>"),
        ];
        masks.map(|(pattern, name)| (Regex::new(pattern).unwrap(), name)).into()
    });
    MASKS.iter().fold(text.to_owned(), |text, (mask, name)| mask.replace_all(&text, *name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document in which `'''` stands for the fence.
    fn document(text: &str) -> String {
        text.replace("'''", "```")
    }

    /// Runs a document with a stand-in for the binary that says it listens, and sleeps.
    fn run_document(text: &str) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("jotgate");
        std::fs::write(&binary, "#!/bin/sh\necho listening on http://127.0.0.1:54321\nsleep 50\n").unwrap();
        std::fs::set_permissions(&binary, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let blocks = blocks(&document(text))?;
        run_blocks(&blocks, Shell::start(&binary)).map_err(|(line, problem)| format!("{line}: {problem}"))
    }

    #[test]
    fn blocks_share_a_shell_and_the_address_is_translated() {
        let text = "# Title\n<!-- serves -->\n'''sh\ncargo run --release -- serve\n'''\n\n<!-- runs -->\n\n'''sh\n\
                    URL=http://localhost:8080\n'''\nprose\n<!-- runs -->\n'''sh\necho $URL/x; echo $((1 + 1))\n'''\n\
                    <!-- prints -->\n'''text\nhttp://127.0.0.1:8080/x\n2\n'''\n<!-- not run: example -->\n'''sh\nfalse\n'''\n";
        assert_eq!(run_document(text), Ok(3));
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let text = document(
            "# The title, once\n[a](SECURITY.md) ![b](no.png) [c](#the-title-once) [d](#no) [e](https://x.example/y)\n\
             <img src=\"e2e/none.png\">\n`[f](in-code.md)`\n'''sh\n[g](in-code.md)\n'''\n[h](SECURITY.md#what-counts)",
        );
        let broken = links(&text).into_iter().filter(|link| follow("README.md", &text, link).is_err());
        assert_eq!(broken.collect::<Vec<_>>(), ["no.png", "#no", "e2e/none.png"]);
    }

    #[test]
    fn whatever_is_untrue_fails() {
        for (text, problem) in [
            ("'''sh\nls\n'''", "1: say before this block"),
            ("<!-- not run: -->\n'''sh\nls\n'''", "2: say before this block"),
            ("<!-- runs -->\ntext", "2: a block must follow"),
            ("<!-- runs -->", "the last comment has no block"),
            ("<!-- prints -->\n'''\nx\n'''", "nothing ran before"),
            ("<!-- runs -->\n'''sh\nfalse | true\n'''", "failed"),
            ("<!-- runs -->\n'''sh\nfalse\ntrue\n'''", "failed"),
            ("<!-- runs -->\n'''sh\necho $UNSET\n'''", "failed"),
            ("<!-- runs -->\n'''sh\necho two\n'''\n<!-- prints -->\n'''\none\n'''", "- one\n+ two"),
        ] {
            let said = run_document(text).unwrap_err();
            assert!(said.contains(problem), "{text}\n{said}");
        }
    }

    #[test]
    fn what_differs_from_run_to_run_counts_as_equal_and_nothing_else() {
        for (shown, printed) in [
            ("{\"access_token\":\"eyJhbGciOi…\"}", "{\"access_token\":\"eyJ0.eyJ1.c2ln\"}"),
            ("sub 0198e2a4-0000-7000-8000-000000000001", "sub 11111111-2222-7333-8444-555555555555"),
            ("exp 1763800000, 3 ms", "exp 1763812345, 12 ms"),
            // Base64url has hyphens at either end, and around what looks like a duration.
            ("kid n8f9CPfSTKbIskcDVTETJk", "kid -n8f9CPfSTKbIskcDVTETJ-"),
            ("kid n8f9CPfSTKbIskcDVTETJk", "kid n8f9CPfSTKb-5s-cDVTETJ"),
            ("a\n…\nz", "a\nb\nc\nz"),
            ("a\n…\nz", "a\nz"),
            ("x … y … z", "x 1 y 2 y 3 z"),
        ] {
            assert_eq!(compare(shown, printed), Ok(()), "{shown}");
        }
        for (shown, printed) in [
            ("200", "201"),
            ("a\nb", "a"),
            ("a", "a\nb"),
            ("a\n…\nz", "a\nb"),
            ("x … z", "x y"),
            ("abc…bcd", "abcd"),
            ("\"alg\":\"ES256\"", "\"alg\":\"none\""),
            ("-----------------------", "------------------------"),
        ] {
            assert!(compare(shown, printed).is_err(), "{shown}");
        }
    }
}
