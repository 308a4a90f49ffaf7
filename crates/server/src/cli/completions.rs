//! `jotgate completions`.

use std::io::Write as _;

use clap::{Args, Command};
use clap_complete::Shell;

use super::error::Failure;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate completions bash > /etc/bash_completion.d/jotgate
  jotgate completions zsh > ~/.zfunc/_jotgate
  jotgate completions fish > ~/.config/fish/completions/jotgate.fish")]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut command: Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "jotgate", &mut script);
        Ok(std::io::stdout().lock().write_all(&script)?)
    }
}
