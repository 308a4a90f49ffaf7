//! Whatever went wrong, as a page: what it was and what to do, by code.

use crate::config::Mount;
use crate::http::clear_cookies;
use crate::http::error::{Code, ErrorPage};
use crate::ui::{self, ProblemPage};

const ACCOUNT: (&str, &str) = ("/account", "Go to your account");
const LOGIN: (&str, &str) = ("/login", "Sign in");
const AGAIN: (&str, &str) = ("/login?again=1", "Sign in again");

/// The HTML of a refusal.
#[must_use]
pub fn render(error: &ErrorPage, request_id: &str, mount: &Mount) -> String {
    let (title, detail, action) = words(error);
    let page = ProblemPage {
        status: error.status.as_u16(),
        code: error.code.as_str().to_owned(),
        title: title.to_owned(),
        detail: detail.to_owned(),
        action,
        request_id: request_id.to_owned(),
    };
    ui::render(&page, mount.as_str()).unwrap_or_else(|_| title.to_owned())
}

fn words(error: &ErrorPage) -> (&str, &str, (&'static str, &'static str)) {
    match error.code {
        Code::NotFound => (
            "There is no page here",
            "Check the address for a typing mistake, or start again from your account.",
            ACCOUNT,
        ),
        Code::Csrf => (
            "That form was not accepted",
            "It did not come from this site's own page, or the page had been open for a long time. Nothing was \
             changed. Open the page again and send the form from there.",
            ACCOUNT,
        ),
        Code::AmbiguousCredentials => (
            "Your browser sent something twice",
            "Two cookies of one name arrived, and nobody can say which of them is right. Both have been cleared: \
             sign in again.",
            LOGIN,
        ),
        Code::HeadersTooLarge => (
            "Your browser sent too many cookies",
            "All pages of this site are refused until there are fewer. Clear them, then sign in again.",
            (clear_cookies::PATH, "Clear the cookies"),
        ),
        Code::InvalidRequest | Code::UnsupportedMediaType | Code::BodyTooLarge | Code::RequestTimeout => (
            "That did not arrive as it should",
            "Nothing was changed. Go back, open the page again and send the form once more.",
            ACCOUNT,
        ),
        Code::MethodNotAllowed => {
            ("That does not work this way", "Open the page and use what is on it.", ACCOUNT)
        }
        Code::InvalidFlow => (
            "That sign-in was not accepted",
            "It was begun in another browser or tab, more than ten minutes ago, or has been used already. Nothing was \
             changed. Sign in again.",
            LOGIN,
        ),
        Code::ProviderDenied => (
            "You were not signed in",
            "You, or the provider you chose, said no. Nothing was changed. Try again, or sign in in another way.",
            LOGIN,
        ),
        Code::InvalidCode | Code::InvalidIdToken => (
            "That sign-in was not accepted",
            "What the provider answered does not prove who you are. Sign in again; if it stays, tell the people who \
             run this server.",
            LOGIN,
        ),
        Code::ProviderUnavailable => (
            "The provider does not answer",
            "Nothing was changed. Try again in a minute, or sign in in another way.",
            LOGIN,
        ),
        Code::AccountDisabled => {
            ("This account may not be used", "Ask the people who run this server.", LOGIN)
        }
        Code::IdentityTaken => (
            "Already linked",
            "That sign-in is linked to an account already, this one or another. To link it to this one, sign in with \
             it and remove it there first.",
            ACCOUNT,
        ),
        Code::LastWayIn => (
            "You could not sign in any more",
            "This is the only way to sign in to your account. Add another one first.",
            ACCOUNT,
        ),
        Code::RecentSignInRequired => (
            "Sign in once more",
            "To change how you sign in, you need a sign-in within the last ten minutes. Nothing was changed.",
            AGAIN,
        ),
        Code::StaleSignIn => (
            "The provider did not ask you again",
            "What you are about to do needs a sign-in that is recent, and the provider does not say that yours is one. \
             Nothing was changed. Sign in once more, with your password or with another provider.",
            AGAIN,
        ),
        Code::TooManyRoles => (
            "You cannot be signed in here",
            "Your account has more roles than a sign-in in the browser can carry. Tell the people who run this \
             server.",
            LOGIN,
        ),
        Code::TooManyAttempts => ("Too many attempts", "Wait for a moment, then try again.", LOGIN),
        Code::Internal => (
            "Something went wrong here",
            "It has been written down. Try again; if it stays, tell the people who run this server, with what \
             stands below.",
            ACCOUNT,
        ),
        Code::Unavailable | Code::Busy | Code::Timeout => (
            "Not possible at this moment",
            "Nothing was changed and nothing is lost. Try again in a few seconds.",
            ACCOUNT,
        ),
        code if code.status().as_u16() == 401 => ("You are not signed in", "Sign in to go on.", LOGIN),
        code => (code.title(), &error.detail, ACCOUNT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 154.
    #[test]
    fn every_code_has_a_page_and_every_text_is_escaped() {
        for code in Code::ALL {
            let error =
                ErrorPage { status: code.status(), code: *code, detail: "<script>alert(1)</script>".into() };
            let html = render(&error, "<script>alert(2)</script>", &Mount::default());
            assert!(html.starts_with("<!doctype html>"), "{code}");
            assert!(html.contains(&format!("{} {code}", code.status().as_u16())), "{code}");
            assert!(!html.contains("<script"), "{code}");
        }
    }
}
