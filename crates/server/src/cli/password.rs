//! Where a new password comes from: a prompt without echo, or standard input. Never an argument, which every
//! process of the machine can read.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use super::error::{Failure, failed};

/// More than any password that is accepted.
const LONGEST: u64 = 64 * 1024;

/// Reads a password that is being chosen for `name`.
pub(super) fn read_new(name: &str, from_stdin: bool) -> Result<Zeroizing<String>, Failure> {
    if from_stdin {
        let mut line = Zeroizing::new(Vec::new());
        let mut input = std::io::stdin().lock().take(LONGEST);
        input
            .read_until(b'\n', &mut line)
            .map_err(|error| failed(format!("cannot read standard input: {error}")))?;
        let text = std::str::from_utf8(&line).map_err(|_| failed("the password is not text in UTF-8"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(Failure::Usage("there is no password on standard input".to_owned()));
        }
        return Ok(Zeroizing::new(text.to_owned()));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask for a password on: give it on standard input with --password-stdin"
                .to_owned(),
        ));
    }
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|error| failed(format!("cannot read the password: {error}")))
    };
    let name = super::output::clean(name);
    let first = ask(format!("New password for {name}: "))?;
    let second = ask("The same again: ".to_owned())?;
    if first != second {
        return Err(failed("the two passwords differ"));
    }
    Ok(first)
}
