//! Parts of JSON texts, in the order in which they stand there.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Longer texts are cut; ids and dates are not.
const WHOLE: usize = 40;

/// The members of an object with their texts.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

/// The text with long strings cut. Of an object only `members` are kept where they are given (`a.b`: the member
/// `b` of the object `a`); `…` stands for what is left out.
pub(super) fn excerpt(json: &str, members: Option<&[&str]>) -> String {
    let (Some(wanted), Ok(Members(all))) = (members, serde_json::from_str(json)) else {
        return cut_strings(json);
    };
    let mut parts = Vec::new();
    let mut left_out = false;
    for (name, value) in all {
        let inner: Vec<&str> =
            wanted.iter().filter_map(|member| member.strip_prefix(&name)?.strip_prefix('.')).collect();
        let text = if wanted.contains(&name.as_str()) {
            cut_strings(value.get())
        } else if !inner.is_empty() {
            excerpt(value.get(), Some(&inner))
        } else {
            left_out = true;
            continue;
        };
        parts.push(format!("\"{name}\":{text}"));
    }
    if left_out {
        parts.push("…".to_owned());
    }
    format!("{{{}}}", parts.join(","))
}

/// The same text with the middle of each long string left out.
fn cut_strings(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('"') {
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (string, tail) = after.split_at(end.unwrap_or(after.len()));
        out.push_str(before);
        out.push_str(&format!("\"{}\"", cut(string)));
        rest = tail.strip_prefix('"').unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Both ends of a long text: a token is told from another by its end.
pub(super) fn cut(text: &str) -> String {
    let count = text.chars().count();
    if count <= WHOLE {
        return text.to_owned();
    }
    text.chars().take(20).chain(['…']).chain(text.chars().skip(count - 8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_long_strings_their_ends() {
        let token = format!("{}{}", "a".repeat(60), "b".repeat(60));
        let json = format!(r#"{{"z":"{token}","a":{{"x":1,"y":["\"q",2.50]}},"n":null,"o":[{{"k":1}}]}}"#);
        let cut = format!("{}…{}", "a".repeat(20), "b".repeat(8));
        assert_eq!(excerpt(&json, None), json.replace(&token, &cut));
        assert_eq!(
            excerpt(&json, Some(&["a.y", "z"])),
            format!(r#"{{"z":"{cut}","a":{{"y":["\"q",2.50],…}},…}}"#)
        );
        assert_eq!(excerpt(&json, Some(&["o"])), r#"{"o":[{"k":1}],…}"#);
        assert_eq!(excerpt("[1]", Some(&["a"])), "[1]");
    }
}
