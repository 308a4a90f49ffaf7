//! A device, told from its user agent: enough for its owner to recognise it, never a fact to decide on.

/// What a session's user agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// "Firefox on Linux", "curl", "Unknown device"; plain text that the client chose: escape it.
    pub name: String,
    pub kind: DeviceKind,
}

/// Which picture stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Computer,
    Phone,
    Tablet,
    /// Not a browser.
    Program,
}

/// First match wins: every browser names those it descends from.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg", "Edge"), // Edg/, EdgA/, EdgiOS/
    ("OPR/", "Opera"),
    ("Opera", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

const SYSTEMS: &[(&str, &str, DeviceKind)] = &[
    ("iPhone", "iPhone", DeviceKind::Phone),
    ("iPad", "iPad", DeviceKind::Tablet),
    ("Android", "Android", DeviceKind::Tablet), // with "Mobile": a phone
    ("Windows", "Windows", DeviceKind::Computer),
    ("CrOS", "ChromeOS", DeviceKind::Computer),
    ("Macintosh", "Mac", DeviceKind::Computer),
    ("Linux", "Linux", DeviceKind::Computer),
    ("X11", "Unix", DeviceKind::Computer),
];

impl Device {
    #[must_use]
    pub fn from_user_agent(agent: &str) -> Self {
        if !agent.starts_with("Mozilla/") && !agent.starts_with("Opera/") {
            return program(agent);
        }
        let browser = BROWSERS.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
        let system = SYSTEMS.iter().find(|(mark, ..)| agent.contains(mark));
        let kind = match system {
            Some((_, "Android", _)) if agent.contains("Mobile") => DeviceKind::Phone,
            Some((.., kind)) => *kind,
            None => DeviceKind::Computer,
        };
        let name = match (browser, system) {
            (Some(browser), Some((_, system, _))) => format!("{browser} on {system}"),
            (Some(browser), None) => browser.to_owned(),
            (None, Some((_, system, _))) => format!("Browser on {system}"),
            (None, None) => "Unknown browser".to_owned(),
        };
        Self { name, kind }
    }
}

/// The product that a program names first: `curl/8.5.0` → `curl` (RFC 9110 §10.1.5).
fn program(agent: &str) -> Device {
    let product = agent.split(['/', ' ', '(']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = if product.is_empty() || product.len() > 40 || !product.chars().all(plain) {
        "Unknown device".to_owned()
    } else {
        product.to_owned()
    };
    Device { name, kind: DeviceKind::Program }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeviceKind::{Computer, Phone, Program, Tablet};

    #[test]
    fn a_user_agent_reads_as_its_owner_would_call_it() {
        for (agent, name, kind) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
                "Firefox on Linux",
                Computer,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0",
                "Edge on Windows",
                Computer,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15",
                "Safari on Mac",
                Computer,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
                Phone,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/156.0.0.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPad",
                Tablet,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
                Phone,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0.0.0 Safari/537.36",
                "Samsung Internet on Android",
                Tablet,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36",
                "Chrome on Linux",
                Computer,
            ),
            ("Mozilla/5.0 (compatible; thing)", "Unknown browser", Computer),
            ("curl/8.5.0", "curl", Program),
            ("python-requests/2.32.3", "python-requests", Program),
            ("", "Unknown device", Program),
            ("<script>alert(1)</script>", "Unknown device", Program),
            ("\u{202e}evil/1", "Unknown device", Program),
        ] {
            assert_eq!(Device::from_user_agent(agent), Device { name: name.to_owned(), kind }, "{agent}");
        }
    }
}
