//! What a real browser sees.

use e2e::browser;

#[test]
fn the_frame_tells_bad_pages_from_good_ones() {
    browser::run_alone("frame.mjs", &[]);
}
