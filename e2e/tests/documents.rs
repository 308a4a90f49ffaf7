//! What the documents tell a reader to type works, and prints what they show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

#[test]
fn every_command_in_the_documents_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut ran = 0;
    for folder in ["", "docs"] {
        let Ok(files) = std::fs::read_dir(root.join(folder)) else { continue };
        let mut paths: Vec<_> = files.map(|file| Path::new(folder).join(file.unwrap().file_name())).collect();
        paths.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
        paths.sort();
        for path in paths {
            ran += e2e::documents::run(path.to_str().unwrap());
        }
    }
    assert!(ran > 0, "no document has a command that runs");
}
