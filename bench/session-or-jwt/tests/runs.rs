//! The benchmark runs, and prints a row for each way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[test]
fn it_prints_a_row_for_each_way() {
    let ran =
        std::process::Command::new(env!("CARGO_BIN_EXE_bench-session-or-jwt")).arg("500").output().unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{printed}{}", String::from_utf8_lossy(&ran.stderr));
    for row in ["| table in memory |", "| table in SQLite |", "HS256", "RS256", "ES256", "EdDSA"] {
        assert!(printed.contains(row), "{row}: {printed}");
    }
}
