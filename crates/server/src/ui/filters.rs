//! What templates do with values.

use std::fmt::Display;

/// A path of ours as a link: below the path at which the server is nested.
#[askama::filter_fn]
pub(super) fn own<T: Display>(path: T, values: &dyn askama::Values) -> askama::Result<String> {
    // Not given in tests of a page alone.
    let mount = askama::get_value::<String>(values, super::MOUNT).map_or("", String::as_str);
    Ok(format!("{mount}{path}"))
}
