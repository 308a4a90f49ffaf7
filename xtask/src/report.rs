//! Counting what ran, and the table at the end.

use std::time::Duration;

/// A test prints this, followed by its name and the reason, where the machine lacks what it needs.
pub(crate) const LEFT_OUT: &str = "left out: ";

/// Tests by their result.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

/// What came of a step.
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// The machine lacks something; the text says what is not checked for that.
    LeftOut(String),
}

/// One row of the table.
pub(crate) struct Row {
    pub name: &'static str,
    pub outcome: Outcome,
    pub took: Duration,
    /// Tests that the step's own output reported.
    pub tests: Counts,
    /// Tests of a step that ran, left out one by one.
    pub left_out: Vec<String>,
}

impl Row {
    /// A step with tests counts as its tests; one without counts as one.
    fn counts(&self) -> Counts {
        let ran_tests = self.tests != Counts::default();
        let mut counts = self.tests;
        match self.outcome {
            Outcome::Passed if !ran_tests => counts.passed += 1,
            // A test binary that does not build, or is killed, has no failed test to show.
            Outcome::Failed(_) if self.tests.failed == 0 => counts.failed += 1,
            Outcome::LeftOut(_) => counts.skipped += 1,
            _ => {}
        }
        counts
    }
}

impl Counts {
    /// Reads a line of a test run: `test result: ok. 3 passed; 0 failed; 1 ignored; …` adds to the counts,
    /// `left out: NAME: REASON` moves a test that the harness counts as passed.
    pub(crate) fn read(&mut self, line: &str, left_out: &mut Vec<String>) {
        if let Some((_, results)) = line.split_once("test result:") {
            self.passed += number_before(results, " passed");
            self.failed += number_before(results, " failed");
            self.skipped += number_before(results, " ignored");
        } else if let Some((_, what)) = line.split_once(LEFT_OUT) {
            left_out.push(what.to_owned());
        }
    }

    /// Counts the tests that left themselves out as skipped.
    pub(crate) fn settle(&mut self, left_out: &[String]) {
        let moved = u32::try_from(left_out.len()).unwrap_or(u32::MAX).min(self.passed);
        self.passed -= moved;
        self.skipped += moved;
    }
}

fn number_before(text: &str, word: &str) -> u32 {
    let before = text.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Prints the table and the closing line; true if nothing failed.
pub(crate) fn print(rows: &[Row], whole: Duration) -> bool {
    println!("\n{:<12} {:>9} {:>9}  tests", "step", "result", "seconds");
    let mut sum = Counts::default();
    for row in rows {
        let counts = row.counts();
        sum.passed += counts.passed;
        sum.failed += counts.failed;
        sum.skipped += counts.skipped;
        let result = match &row.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed(_) => "FAILED",
            Outcome::LeftOut(_) => "left out",
        };
        let tests = if row.tests == Counts::default() {
            String::new()
        } else {
            format!("{} passed, {} failed, {} skipped", row.tests.passed, row.tests.failed, row.tests.skipped)
        };
        println!(
            "{}",
            format!("{:<12} {:>9} {:>9.1}  {}", row.name, result, row.took.as_secs_f64(), tests).trim_end()
        );
    }
    for row in rows {
        match &row.outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => println!("{}: FAILED: {why}", row.name),
            Outcome::LeftOut(why) => println!("{}: left out: {why}", row.name),
        }
        for what in &row.left_out {
            println!("{}: left out: {what}", row.name);
        }
    }
    println!("{:.0} s in all\n", whole.as_secs_f64());
    println!("{} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped);
    sum.failed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Counts, Vec<String>) {
        let (mut counts, mut left_out) = (Counts::default(), Vec::new());
        for line in lines {
            counts.read(line, &mut left_out);
        }
        counts.settle(&left_out);
        (counts, left_out)
    }

    #[test]
    fn results_of_several_test_binaries_add_up() {
        let (counts, _) = read(&[
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.10s",
            "test result: \u{1b}[31mFAILED\u{1b}(B\u{1b}[m. 12 passed; 2 failed; 0 ignored; 0 measured",
        ]);
        assert_eq!(counts, Counts { passed: 15, failed: 2, skipped: 1 });
    }

    #[test]
    fn a_test_that_left_itself_out_is_not_a_passed_one() {
        let (counts, left_out) = read(&[
            "left out: login_page: no chromium",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ]);
        assert_eq!(counts, Counts { passed: 1, failed: 0, skipped: 1 });
        assert_eq!(left_out, ["login_page: no chromium"]);
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_still_counts() {
        let row = Row {
            name: "test",
            outcome: Outcome::Failed("does not build".to_owned()),
            took: Duration::ZERO,
            tests: Counts { passed: 4, failed: 0, skipped: 0 },
            left_out: Vec::new(),
        };
        assert_eq!(row.counts(), Counts { passed: 4, failed: 1, skipped: 0 });
    }
}
