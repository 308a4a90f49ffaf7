//! Who may pass to an application behind a proxy: `rules.NAME.…`, by host, path and method.
//!
//! Of the rules that name a request's host and cover its path, the most specific apply: an exact host before a
//! wildcard, then the longer path, then one path alone before all that is below it, then a rule that names the
//! method. Where several are equally specific, all of them must hold. A request that no rule names is refused.
//!
//! A path can be read in more than one way: what one program decodes, shortens or splits, another takes as it is.
//! Nobody knows what the application does, so every plausible reading is judged, and all of them must be allowed.

mod host;
mod path;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use host::{Host, HostPattern};
pub use path::{PathPattern, readings};

/// One rule of the configuration; field names are its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub host: Vec<HostPattern>,
    /// Empty: every path.
    pub path: Vec<PathPattern>,
    /// Empty: every method.
    pub methods: Vec<String>,
    pub access: Access,
    /// All must be there.
    pub role: Vec<String>,
    /// All must be there.
    pub scope: Vec<String>,
    /// The longest since the user last proved who they are.
    pub max_age: Option<Duration>,
}

/// Who a rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Anybody, signed in or not.
    Public,
    #[default]
    SignedIn,
}

/// What must hold for one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    pub signed_in: bool,
    pub roles: Vec<String>,
    pub scopes: Vec<String>,
    pub max_age: Option<Duration>,
}

/// A request as the proxy tells of it; nothing of it is trusted to have one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// As in the request line, case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    pub host: &'a Host,
    /// The path as it was sent, without the query.
    pub path: &'a [u8],
}

/// Why a request is refused whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No rule names this host and path.
    Unnamed,
    /// Rules name the path, but not for this method.
    Method,
    /// The path has no reading that is safe to judge.
    Path,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unnamed => "no rule names this host and path",
            Self::Method => "the rules for this path do not name this method",
            Self::Path => {
                "the path cannot be judged: it is not UTF-8, has control characters, or too many readings"
            }
        })
    }
}

impl std::error::Error for Refused {}

/// Who asks, as a verified access token says.
pub trait Caller {
    fn has_role(&self, role: &str) -> bool;
    fn has_scope(&self, scope: &str) -> bool;
    /// `auth_time`, in seconds; none where the token does not say.
    fn authenticated_at(&self) -> Option<u64>;
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// Nobody is signed in, and somebody has to be.
    SignIn,
    /// The last proof of who they are is older than this many seconds.
    SignInAgain(u64),
    /// A role or a scope is missing.
    Forbid,
}

impl Requirement {
    /// What holds where there are no rules: somebody is signed in.
    #[must_use]
    pub fn signed_in() -> Self {
        Self { signed_in: true, ..Self::default() }
    }

    /// Whether `caller` may pass at `now` (seconds).
    #[must_use]
    pub fn decide(&self, caller: Option<&impl Caller>, now: u64) -> Decision {
        let Some(caller) = caller else {
            return if self.signed_in { Decision::SignIn } else { Decision::Allow };
        };
        if !self.roles.iter().all(|role| caller.has_role(role))
            || !self.scopes.iter().all(|scope| caller.has_scope(scope))
        {
            return Decision::Forbid;
        }
        match self.max_age.map(|age| age.as_secs()) {
            // A time ahead of our clock is no longer ago than none.
            Some(most) if caller.authenticated_at().is_none_or(|at| now.saturating_sub(at) > most) => {
                Decision::SignInAgain(most)
            }
            _ => Decision::Allow,
        }
    }

    /// Both must hold.
    fn and(&mut self, other: &Rule) {
        let restricted = !other.role.is_empty() || !other.scope.is_empty() || other.max_age.is_some();
        self.signed_in |= other.access == Access::SignedIn || restricted;
        self.roles
            .extend(other.role.iter().filter(|role| !self.roles.contains(role)).cloned().collect::<Vec<_>>());
        self.scopes.extend(
            other.scope.iter().filter(|scope| !self.scopes.contains(scope)).cloned().collect::<Vec<_>>(),
        );
        self.max_age = match (self.max_age, other.max_age) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// All rules, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<String, Rule>);

impl Rules {
    #[must_use]
    pub fn new(rules: BTreeMap<String, Rule>) -> Self {
        Self(rules)
    }

    /// Without rules, whoever is signed in may pass everywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What must hold for this request: the strictest of what its readings ask for.
    ///
    /// # Errors
    /// [`Refused`], for whoever asks.
    pub fn requirement(&self, asked: &Asked<'_>) -> Result<Requirement, Refused> {
        let mut all = Requirement::default();
        for reading in readings(asked.path).ok_or(Refused::Path)? {
            // What tells `/Admin` from `/admin` and what does not are two readers more.
            for caseless in [false, true] {
                for rule in self.most_specific(asked, &reading, caseless)? {
                    all.and(rule);
                }
                // And what takes `/admin.json` for `/admin` in another format: of that only what closes counts, or a
                // page that is public would open its neighbours.
                let Some(bare) = path::without_format(&reading) else { continue };
                let meant = match self.most_specific(asked, bare, caseless) {
                    Err(Refused::Method) => return Err(Refused::Method),
                    found => found.unwrap_or_default(),
                };
                for rule in meant.into_iter().filter(|rule| !rule.covers(&reading, caseless)) {
                    all.and(rule);
                }
            }
        }
        Ok(all)
    }

    /// The rules that apply to one reading of the path; never none.
    fn most_specific(&self, asked: &Asked<'_>, path: &[u8], caseless: bool) -> Result<Vec<&Rule>, Refused> {
        let place = |rule: &'_ Rule| {
            let host = rule.host.iter().filter(|host| host.names(asked.host)).max()?;
            let paths = rule.path.iter().filter(|pattern| pattern.covers(path, caseless));
            let path =
                if rule.path.is_empty() { Some((0, false)) } else { paths.map(PathPattern::rank).max() };
            Some((host.is_exact(), path?))
        };
        let placed: Vec<_> = self.0.values().filter_map(|rule| Some((place(rule)?, rule))).collect();
        let most = placed.iter().map(|(place, _)| *place).max().ok_or(Refused::Unnamed)?;
        let here = placed.into_iter().filter(|(place, _)| *place == most).map(|(_, rule)| rule);
        // A rule for other methods only must not open the path to what a wider rule would let through.
        let (named, rest): (Vec<_>, Vec<_>) = here.partition(|rule| !rule.methods.is_empty());
        let named: Vec<_> =
            named.into_iter().filter(|rule| names_method(&rule.methods, asked.method)).collect();
        match (named.is_empty(), rest.is_empty()) {
            (false, _) => Ok(named),
            (true, false) => Ok(rest),
            (true, true) => Err(Refused::Method),
        }
    }

    /// The first thing that cannot be meant, as a sentence without its full stop.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        for (name, rule) in &self.0 {
            if rule.host.is_empty() {
                return Some(format!(
                    "rules.{name} has no host: set rules.{name}.host to the names it is for"
                ));
            }
            let asks = [
                ("role", !rule.role.is_empty()),
                ("scope", !rule.scope.is_empty()),
                ("max_age", rule.max_age.is_some()),
            ];
            if let Some((key, _)) = asks.iter().find(|(_, set)| *set && rule.access == Access::Public) {
                return Some(format!(
                    "rules.{name} is public and asks for rules.{name}.{key}: one of the two, since nobody has to be signed in"
                ));
            }
        }
        let names: Vec<_> = self.0.iter().collect();
        for (i, (name, rule)) in names.iter().enumerate() {
            for (other_name, other) in names.iter().skip(i + 1) {
                if rule.is_for_the_same_as(other) {
                    return Some(format!(
                        "rules.{name} and rules.{other_name} are for the same host, path and methods: make one rule of them"
                    ));
                }
            }
        }
        None
    }
}

impl Rule {
    fn covers(&self, path: &[u8], caseless: bool) -> bool {
        self.path.is_empty() || self.path.iter().any(|pattern| pattern.covers(path, caseless))
    }

    /// Whether some request is matched by both in exactly the same place.
    fn is_for_the_same_as(&self, other: &Self) -> bool {
        let root = [PathPattern::everything()];
        let paths = |rule: &'_ Self| if rule.path.is_empty() { root.to_vec() } else { rule.path.clone() };
        let others = paths(other);
        let methods = |rule: &'_ Self| {
            let mut methods = rule.methods.clone();
            methods.sort();
            methods
        };
        self.host.iter().any(|host| other.host.contains(host))
            && paths(self).iter().any(|path| others.contains(path))
            && methods(self) == methods(other)
    }
}

/// Exactly one of them; GET stands for HEAD too, which gives less of the same (RFC 9110 §9.3.2).
fn names_method(methods: &[String], asked: &str) -> bool {
    methods.iter().any(|method| method == asked || (method == "GET" && asked == "HEAD"))
}

/// A method of HTTP as rules name it: a token without lower-case letters, since methods are told apart by case.
///
/// # Errors
/// What is expected.
pub fn method(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "methods in capitals, such as GET and POST";
    let plain = |b: u8| b.is_ascii_uppercase() || b == b'-' || b == b'_';
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(EXPECTED)
    }
}

impl Ord for HostPattern {
    /// The more specific is the greater.
    fn cmp(&self, other: &Self) -> Ordering {
        self.is_exact().cmp(&other.is_exact()).then_with(|| self.to_string().cmp(&other.to_string()))
    }
}

impl PartialOrd for HostPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests;
