//! What is measured: one file a part.

mod cost;
mod flood;
mod login;
mod refresh;
mod verify;

use crate::Settings;
use crate::program::Outcome;
use crate::report::Part;

/// A part of the run, by the name that `--only` takes.
pub(crate) type Measure = fn(&Settings) -> Outcome<Part>;

/// Every part, in the order of the report.
pub(crate) const PARTS: &[(&str, Measure)] = &[
    ("verify", verify::measure),
    ("login", login::measure),
    ("refresh", refresh::measure),
    ("flood", flood::measure),
    ("cost", cost::measure),
];

/// Clients that ask side by side.
const CLIENTS: usize = 32;
