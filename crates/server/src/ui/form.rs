//! What every form on a page carries.

/// The hidden part of a form.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Proves that the form is ours (CSRF).
    pub token: String,
    /// Where to go afterwards: already validated and in normal form; empty for the default.
    pub return_to: String,
    /// For how many seconds a sign-in may have been over that is to count; none where it is of no matter.
    pub max_age: Option<u32>,
}

impl Form {
    /// `?return_to=…&max_age=…`, for a link that keeps both; empty where there is neither.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.return_to.is_empty() {
            query.append_pair("return_to", &self.return_to);
        }
        if let Some(seconds) = self.max_age {
            query.append_pair("max_age", &seconds.to_string());
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

/// A form that was refused: what is wrong, and what to do about it.
#[derive(Clone, Debug)]
pub struct FormError {
    /// The stable code of the API, so that a person can quote it.
    pub code: &'static str,
    pub message: String,
    /// The `name` of the field to correct; none where it is not one field.
    pub field: Option<&'static str>,
}

#[cfg(test)]
impl Form {
    pub(super) fn sample() -> Self {
        Self { token: "sample-form-token".into(), return_to: String::new(), max_age: None }
    }
}

/// What to say beside the field `name`; empty where nothing is wrong with it.
pub(super) fn complaint<'a>(error: &'a Option<FormError>, name: &str) -> &'a str {
    error.as_ref().filter(|error| error.field == Some(name)).map_or("", |error| &error.message)
}

/// What to say above the fields: what is wrong with none of them alone.
pub(super) fn alert(error: &Option<FormError>) -> Option<&FormError> {
    error.as_ref().filter(|error| error.field.is_none())
}

/// What makes a new password good.
pub(super) fn password_hint(min_length: &usize) -> String {
    format!("At least {min_length} characters. A few unrelated words make a good one.")
}
