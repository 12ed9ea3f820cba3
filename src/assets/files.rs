//! Static files, their common hash and their compressed copies.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::write::GzEncoder;
use rocket::http::ContentType;
use rust_embed::Embed;

#[derive(Embed)]
// Left by a rebuild of the vendor module on this machine.
#[exclude = "vendor/node_modules/*"]
#[exclude = "vendor/src/*"]
#[folder = "static/"]
#[allow_missing = true]
struct Embedded;

/// Largest file of the overrides folder.
const MAX_OVERRIDE_BYTES: u64 = 16 * 1024 * 1024;

/// Most files and deepest folder of the overrides; more is a mistake (a home directory, a loop).
const MAX_OVERRIDES: usize = 2000;
const MAX_DEPTH: usize = 8;

/// All static files by their path (`css/page.css`).
pub struct Assets {
    files: BTreeMap<String, Arc<Asset>>,
    overridden: BTreeSet<String>,
    hash: String,
    reload: bool,
}

/// One static file.
pub struct Asset {
    bytes: Cow<'static, [u8]>,
    /// Its type by its name.
    pub content_type: ContentType,
    /// First 16 hex digits of BLAKE3 of its bytes, in quotes, as its `ETag`.
    pub etag: String,
    gzip: OnceLock<Option<Vec<u8>>>,
}

/// A folder of overrides that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// It cannot be read.
    #[error("{}: {cause}", folder.display())]
    Io {
        /// Which folder or file.
        folder: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Too large, too many or too deep.
    #[error("{}: a folder of overrides holds at most {MAX_OVERRIDES} files of at most 16 MiB", .0.display())]
    TooMuch(PathBuf),
}

impl Assets {
    /// Takes the embedded files and those in `overrides`, which win; that folder may be missing.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn load(overrides: &Path, reload: bool) -> Result<Self, AssetError> {
        let mut files = BTreeMap::new();
        for path in Embedded::iter().filter(|path| is_ours(path)) {
            if let Some(file) = Embedded::get(&path) {
                files.insert(path.to_string(), Arc::new(Asset::new(&path, file.data)));
            }
        }
        let mut overridden = BTreeSet::new();
        for (path, bytes) in read_folder(overrides)? {
            overridden.insert(path.clone());
            let asset = Arc::new(Asset::new(&path, Cow::Owned(bytes)));
            files.insert(path, asset);
        }
        let mut hasher = blake3::Hasher::new();
        for (path, asset) in &files {
            hasher.update(path.as_bytes()).update(b"\0").update(asset.etag.as_bytes());
        }
        let hash = hasher.finalize().to_hex()[..16].to_owned();
        Ok(Self { files, overridden, hash, reload })
    }

    /// The hash of all files together: 16 hex digits.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Where static files begin: `/static/<hash>`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("/static/{}", self.hash)
    }

    /// True when browsers may not keep files, because they are read anew at each request.
    #[must_use]
    pub fn is_reloading(&self) -> bool {
        self.reload
    }

    /// The file at a path. Only exact paths of the list are found, so no path leads outside.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Arc<Asset>> {
        if self.reload
            && !self.overridden.contains(path)
            && is_ours(path)
            && Embedded::iter().any(|name| name == path)
        {
            return Some(Arc::new(Asset::new(path, Embedded::get(path)?.data)));
        }
        self.files.get(path).cloned()
    }
}

impl Asset {
    fn new(path: &str, bytes: Cow<'static, [u8]>) -> Self {
        let etag = format!("\"{}\"", &blake3::hash(&bytes).to_hex()[..16]);
        Self { bytes, content_type: content_type(path), etag, gzip: OnceLock::new() }
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A gzip copy, where that is smaller by a tenth at least. Made once; takes a while then.
    #[must_use]
    pub fn gzip(&self) -> Option<&[u8]> {
        let copy = self.gzip.get_or_init(|| {
            if self.bytes.len() < 512 || !is_compressible(&self.content_type) {
                return None;
            }
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&self.bytes).ok()?;
            let copy = encoder.finish().ok()?;
            (copy.len() < self.bytes.len() / 10 * 9).then_some(copy)
        });
        copy.as_deref()
    }
}

/// False for what a developer's folder may hold beside the files that are served.
fn is_ours(path: &str) -> bool {
    // What is JSON there tells Node and npm what the folders are.
    !path.ends_with(".json")
        && !path.split('/').any(|part| part.starts_with('.') || part == "node_modules")
}

fn content_type(path: &str) -> ContentType {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "js" | "mjs" => ContentType::new("text", "javascript").with_params(("charset", "utf-8")),
        "css" | "html" | "md" | "txt" => {
            let sub = match extension {
                "md" => "markdown",
                "txt" => "plain",
                other => other,
            };
            ContentType::new("text", sub.to_owned()).with_params(("charset", "utf-8"))
        }
        "map" => ContentType::JSON,
        "webmanifest" => ContentType::new("application", "manifest+json"),
        "svg" => ContentType::SVG,
        "woff2" => ContentType::WOFF2,
        "ico" => ContentType::Icon,
        other => ContentType::from_extension(other).unwrap_or(ContentType::Binary),
    }
}

fn is_compressible(content_type: &ContentType) -> bool {
    content_type.top() == "text"
        || matches!(content_type.sub().as_str(), "json" | "manifest+json" | "svg+xml")
}

/// All plain files below a folder, by their path with `/`. A missing folder has none. Links are
/// not followed, so that nothing outside is served by mistake.
fn read_folder(root: &Path) -> Result<Vec<(String, Vec<u8>)>, AssetError> {
    let mut found = Vec::new();
    let mut waiting = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = waiting.pop() {
        let failed = |cause| AssetError::Io { folder: folder.clone(), cause };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if depth == 0 && e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(e) => return Err(failed(e)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let Some(name) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                if depth >= MAX_DEPTH {
                    return Err(AssetError::TooMuch(entry.path()));
                }
                waiting.push((entry.path(), format!("{path}/"), depth + 1));
            } else if kind.is_file() {
                let length = entry.metadata().map_err(failed)?.len();
                if length > MAX_OVERRIDE_BYTES || found.len() >= MAX_OVERRIDES {
                    return Err(AssetError::TooMuch(entry.path()));
                }
                found.push((path, std::fs::read(entry.path()).map_err(failed)?));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_wins_changes_the_hash_and_nothing_outside_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let before = Assets::load(&dir.path().join("absent"), false).unwrap();
        std::fs::create_dir_all(dir.path().join("css")).unwrap();
        std::fs::write(dir.path().join("css/page.css"), "body{}").unwrap();
        std::fs::write(dir.path().join(".hidden"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("passwd")).unwrap();
        let assets = Assets::load(dir.path(), false).unwrap();
        assert_eq!(assets.get("css/page.css").unwrap().bytes(), b"body{}");
        assert_ne!(assets.hash(), before.hash());
        for path in
            ["passwd", ".hidden", "../secret.key", "css/../css/page.css", "", "/etc/passwd", "css"]
        {
            assert!(assets.get(path).is_none(), "{path}");
        }
        let reloading = Assets::load(dir.path(), true).unwrap();
        assert_eq!(reloading.get("css/page.css").unwrap().bytes(), b"body{}");
    }

    #[test]
    fn types_are_the_ones_browsers_insist_on() {
        for (name, expected) in [
            ("js/page.js", "text/javascript; charset=utf-8"),
            ("css/page.css", "text/css; charset=utf-8"),
            ("manifest.webmanifest", "application/manifest+json"),
            ("img/favicon.svg", "image/svg+xml"),
            ("img/icon.png", "image/png"),
            ("font.woff2", "font/woff2"),
            ("strange", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name).to_string(), expected, "{name}");
        }
    }

    #[test]
    fn text_is_compressed_once_and_images_are_not() {
        let text = Asset::new("a.js", Cow::Owned(b"let x = 1;\n".repeat(1000)));
        let copy = text.gzip().unwrap();
        assert!(copy.len() < 1000 && copy.starts_with(&[0x1f, 0x8b]));
        assert!(Asset::new("a.png", Cow::Owned(vec![0; 10_000])).gzip().is_none());
        assert!(Asset::new("a.js", Cow::Borrowed(b"x")).gzip().is_none());
    }
}
