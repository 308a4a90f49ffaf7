//! The hosted pages as typed views: one struct with a sample and one template a page.
//!
//! Views are made of domain types and plain text, so every page can be rendered and looked at without a
//! server. Templates escape whatever they are given (the `.html` extension turns it on); nothing here or in
//! them marks text as safe. No page needs JavaScript.

mod account;
pub mod assets;
mod away;
mod device;
#[expect(unreachable_pub, reason = "what the macro adds is public")]
mod filters;
mod form;
mod leaving;
mod login;
mod logout;
mod moment;
mod problem;
mod register;
mod switch;
pub mod words;

pub use account::{AccountPage, IdentityRow, Notice, SessionRow};
pub use away::AwayPage;
pub use device::{Device, DeviceKind};
pub use form::{Form, FormError};
pub use leaving::LeavingPage;
pub use login::{ContinuePage, LoginPage, ProviderLink};
pub use logout::{LogoutPage, SignedOutPage};
pub use moment::Moment;
pub use problem::ProblemPage;
pub use register::RegisterPage;
pub use switch::SwitchPage;

use std::any::Any;

use askama::Template;

/// Name of the value that [`filters::own`] reads.
const MOUNT: &str = "mount";

/// The HTML of a page whose links are below the path `mount`; empty: the origin itself.
///
/// # Errors
/// What the template says.
pub fn render(page: &impl Template, mount: &str) -> askama::Result<String> {
    let mount = mount.to_owned();
    let value: &dyn Any = &mount;
    page.render_with_values(&(MOUNT, value))
}

#[cfg(test)]
mod tests;
