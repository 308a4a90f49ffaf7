//! Which part of the server a path belongs to; the layers treat them differently.

/// Parts of the server, by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/auth/…`: JSON, for first-party clients.
    Auth,
    /// `/auth/verify`: asked by proxies about other requests, with those requests' methods and headers.
    Verify,
    /// Keys, metadata, status lists, the feed, the script for browsers: for anybody.
    Public,
    /// `/oauth/…` endpoints that programs call.
    OAuth,
    /// `/admin/api/…`
    AdminApi,
    /// Health, metrics, the API's description.
    Ops,
    /// `/_jotgate/…`: pages on the host of an application, which is not ours.
    Application,
    /// What people see in a browser, and what it consists of.
    Page,
}

impl Surface {
    #[must_use]
    pub fn of(path: &str) -> Self {
        let Some((first, rest)) = path.strip_prefix('/').map(|p| p.split_once('/').unwrap_or((p, ""))) else {
            return Self::Auth;
        };
        match (first, rest) {
            ("auth", "verify" | "verify/envoy") => Self::Verify,
            ("auth", rest) if rest.starts_with("verify/envoy/") => Self::Verify,
            ("auth", "revocations" | "status") => Self::Public,
            ("auth", rest) if rest.starts_with("status/") => Self::Public,
            ("auth", _) => Self::Auth,
            (".well-known", rest) if is_metadata(rest) => Self::Public,
            (".well-known", _) => Self::Ops,
            ("oauth", "authorize" | "logout") => Self::Page,
            ("oauth", _) => Self::OAuth,
            ("_jotgate", _) => Self::Application,
            ("admin", rest) if rest == "api" || rest.starts_with("api/") => Self::AdminApi,
            ("jotgate.js" | "jotgate.d.ts", "") => Self::Public,
            ("healthz" | "readyz" | "metrics" | "openapi.json", "") => Self::Ops,
            _ => Self::Page,
        }
    }

    /// Whether what is refused here is refused with a page.
    #[must_use]
    pub const fn is_page(self) -> bool {
        matches!(self, Self::Page | Self::Application)
    }
}

/// Keys and metadata; of an issuer with a path the metadata is also there with the path behind it (RFC 8414 §3.1).
fn is_metadata(path: &str) -> bool {
    let name = path.split('/').next().unwrap_or_default();
    path == "jwks.json" || matches!(name, "openid-configuration" | "oauth-authorization-server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_place() {
        for (path, surface) in [
            ("/auth/login", Surface::Auth),
            ("/auth", Surface::Auth),
            ("/auth/", Surface::Auth),
            ("/auth/verify", Surface::Verify),
            ("/auth/verify/", Surface::Auth),
            ("/auth/verify/envoy", Surface::Verify),
            ("/auth/verify/envoy/", Surface::Verify),
            ("/auth/verify/envoy/auth/login", Surface::Verify),
            ("/auth/verify/envoys", Surface::Auth),
            ("/auth/revocations", Surface::Public),
            ("/auth/status/0", Surface::Public),
            ("/auth/statuses", Surface::Auth),
            ("/.well-known/jwks.json", Surface::Public),
            ("/.well-known/openid-configuration", Surface::Public),
            ("/.well-known/oauth-authorization-server/id", Surface::Public),
            ("/.well-known/jwks.json/x", Surface::Ops),
            ("/.well-known/security.txt", Surface::Ops),
            ("/jotgate.js", Surface::Public),
            ("/jotgate.d.ts", Surface::Public),
            ("/jotgate.js/x", Surface::Page),
            ("/oauth/token", Surface::OAuth),
            ("/oauth/authorize", Surface::Page),
            ("/admin", Surface::Page),
            ("/admin/api/users", Surface::AdminApi),
            ("/admin/apis", Surface::Page),
            ("/healthz", Surface::Ops),
            ("/healthz/x", Surface::Page),
            ("/login", Surface::Page),
            ("/_jotgate/start", Surface::Application),
            ("/_jotgates", Surface::Page),
            ("/", Surface::Page),
            ("//auth/login", Surface::Page),
            ("*", Surface::Auth),
            ("", Surface::Auth),
        ] {
            assert_eq!(Surface::of(path), surface, "{path}");
        }
    }
}
