//! The completions that the package installs, in the shells themselves.

use crate::debian::installed;

/// What is typed before TAB, and the word that it becomes.
const CASES: &[(&str, &str)] = &[
    ("jotgate us", "user"),
    ("jotgate user a", "add"),
    ("jotgate serve --lis", "--listen"),
    ("jotgate key rotate --em", "--emergency"),
];

#[test]
fn bash_zsh_and_fish_complete_from_the_installed_files() {
    let Some((machine, _)) = installed("bash_zsh_and_fish_complete_from_the_installed_files") else { return };
    let file = |name: &str, text: &str| std::fs::write(machine.path("/root").join(name), text).unwrap();
    file("complete.bash", include_str!("complete.bash"));
    file("complete.zsh", include_str!("complete.zsh"));
    let mut lines = String::new();
    for (typed, word) in CASES {
        let said = machine.run(&format!("bash ~/complete.bash '{typed}'"));
        assert!(said.lines().any(|line| line.trim() == *word), "bash: {typed}: {said}");

        let said = machine.run(&format!("fish -c \"complete -C '{typed}'\""));
        let mut words = said.lines().filter_map(|line| line.split('\t').next());
        assert!(words.any(|offered| offered == *word), "fish: {typed}: {said}");

        let (before, _) = typed.rsplit_once(' ').unwrap();
        lines.push_str(&format!("{typed}|{before} {word}\n"));
    }
    file("cases", &lines);
    machine.run("TERM=dumb timeout 60 zsh -f ~/complete.zsh < ~/cases");
}
