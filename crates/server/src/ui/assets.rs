//! Style sheet and logo, inside the binary, each at a path that names its content: browsers keep them for a
//! year and ask again only when they changed.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest;

/// A static file.
#[derive(Debug)]
pub struct Asset {
    /// `/assets/STEM-HASH.EXT`
    pub path: String,
    pub content_type: &'static str,
    pub bytes: &'static [u8],
}

/// Where assets live.
pub const PREFIX: &str = "/assets/";

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("style", "css", "text/css; charset=utf-8", include_bytes!("../../web/style.css"))
});
static LOGO: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("logo", "svg", "image/svg+xml", include_bytes!("../../web/logo.svg")));

/// Path of the style sheet, for templates.
#[must_use]
pub fn style() -> &'static str {
    &STYLE.path
}

/// Path of the logo, for templates.
#[must_use]
pub fn logo() -> &'static str {
    &LOGO.path
}

/// The asset that was asked for by its path, and whether the path names this very content. One of another
/// build (another node, in the middle of an upgrade) gets ours, but must not keep it.
#[must_use]
pub fn find(path: &str) -> Option<(&'static Asset, bool)> {
    [&*STYLE, &*LOGO].into_iter().find_map(|asset| {
        let exact = asset.path == path;
        (exact || without_hash(&asset.path) == without_hash(path)).then_some((asset, exact))
    })
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, bytes);
        let mut path = format!("{PREFIX}{stem}-");
        for byte in hash.as_ref().iter().take(6) {
            let _ = write!(path, "{byte:02x}");
        }
        Self { path: format!("{path}.{extension}"), content_type, bytes }
    }
}

/// `/assets/style-0123456789ab.css` → (`/assets/style`, `css`)
fn without_hash(path: &str) -> Option<(&str, &str)> {
    let (stem, rest) = path.rsplit_once('-')?;
    let (hash, extension) = rest.split_once('.')?;
    (hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit())).then_some((stem, extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_found_by_its_own_path_and_by_that_of_another_build() {
        assert!(find(style()).unwrap().1);
        assert!(find(logo()).unwrap().1);
        let (other, exact) = find("/assets/style-0123456789ab.css").unwrap();
        assert_eq!((other.path.as_str(), exact), (style(), false));
        for path in [
            "/assets/style.css",
            "/assets/style-0123456789ab.svg",
            "/assets/style-0123.css",
            "/assets/../style-0123456789ab.css",
            "/assets/other-0123456789ab.css",
            "/assets/",
            "",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_style_sheet_asks_nobody_else_for_anything() {
        let style = std::str::from_utf8(STYLE.bytes).unwrap();
        assert!(!style.contains("url(") && !style.contains("@import"), "CSP allows neither");
    }
}
