//! What people are told to do about what they typed.

use std::time::Duration;

use jotgate_domain::name::NameError;
use jotgate_domain::password::PasswordError;

/// Beside a user name that cannot be one.
#[must_use]
pub fn username(why: NameError) -> String {
    match why {
        NameError::Empty => "Choose a user name.",
        NameError::TooLong => "That is too long for a user name: use 64 characters at most.",
        NameError::Character => {
            "A user name has letters, digits and the signs . _ - + only, begins with a letter or a digit, and \
             does not end with . or +."
        }
        NameError::MixedScripts => "Use the letters of one alphabet only.",
        NameError::Reserved => "That looks like a user id. Choose another name.",
        _ => "That cannot be a user name. Choose another one.",
    }
    .to_owned()
}

/// Beside an e-mail address that cannot be one.
#[must_use]
pub fn email(why: NameError) -> String {
    match why {
        NameError::TooLong => "That is too long for an e-mail address.",
        _ => "That is not an e-mail address. It looks like name@example.com.",
    }
    .to_owned()
}

/// Beside a new password that will not do.
#[must_use]
pub fn password(why: PasswordError) -> String {
    match why {
        PasswordError::TooShort { min } => format!("Use at least {min} characters."),
        PasswordError::TooLong => "That is too long: use 256 characters at most.".to_owned(),
        PasswordError::Common => {
            "This password is among the first that attackers try. Choose another one; a few unrelated words are \
             good."
                .to_owned()
        }
        PasswordError::HasServiceName => "Do not use the name of this service in it.".to_owned(),
        PasswordError::HasUsername => "Do not use your user name in it.".to_owned(),
        PasswordError::HasEmail => "Do not use your e-mail address in it.".to_owned(),
        _ => "Choose another password.".to_owned(),
    }
}

/// "in 30 seconds", rounded up.
#[must_use]
pub fn wait(wait: Duration) -> String {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    match seconds {
        1 => "in a second".to_owned(),
        2..=90 => format!("in {seconds} seconds"),
        _ => format!("in {} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_are_rounded_up() {
        for (millis, text) in [
            (0, "in a second"),
            (1_000, "in a second"),
            (1_001, "in 2 seconds"),
            (90_000, "in 90 seconds"),
            (90_001, "in 2 minutes"),
            (300_000, "in 5 minutes"),
        ] {
            assert_eq!(wait(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn every_message_is_a_sentence() {
        use NameError as N;
        use PasswordError as P;
        let names = [N::Empty, N::TooLong, N::Character, N::MixedScripts, N::Reserved];
        let passwords =
            [P::TooShort { min: 8 }, P::TooLong, P::Common, P::HasServiceName, P::HasUsername, P::HasEmail];
        let all = names.map(username).into_iter().chain(names.map(email)).chain(passwords.map(password));
        for text in all {
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{text}");
        }
    }
}
