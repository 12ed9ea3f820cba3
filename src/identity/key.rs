//! The key that cookies are signed with.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FILE: &str = "secret.key";

/// What signs guests' cookies. Whoever has it can be any guest.
pub struct SigningKey([u8; 32]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or making the file failed.
    #[error("the key in secret.key could not be read or made: {0}")]
    Io(#[from] std::io::Error),
    /// The file is there and is not a key. It is not replaced: every guest would be a stranger.
    #[error(
        "secret.key in the data directory must hold exactly 32 bytes; \
         restore it, or delete it to make a new one (every guest then starts anew)"
    )]
    Damaged,
}

impl SigningKey {
    /// A key of known bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the key of a data directory; makes it (32 random bytes, for its owner only, on disk
    /// before this returns) when there is none.
    ///
    /// # Errors
    /// When it cannot be read or made, or is damaged.
    pub fn load(data: &Path) -> Result<Self, KeyError> {
        let path = data.join(FILE);
        match File::open(&path) {
            Ok(file) => Self::read(file),
            Err(e) if e.kind() == ErrorKind::NotFound => Self::make(data, &path),
            Err(e) => Err(e.into()),
        }
    }

    fn read(file: File) -> Result<Self, KeyError> {
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            log::warn!("secret.key can be read by other users; it should have mode 600");
        }
        let mut bytes = Vec::new();
        file.take(64).read_to_end(&mut bytes)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Damaged)
    }

    fn make(data: &Path, path: &Path) -> Result<Self, KeyError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|e| std::io::Error::other(e.to_string()))?;
        // Under another name first: a crash must not leave half a key.
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(data)?.sync_all()?;
        log::info!("made a new secret.key; cookies that were given before are not known any more");
        Ok(Self(key))
    }

    /// The tag of a text; compare tags only as [`blake3::Hash`], which takes constant time.
    pub(super) fn tag(&self, text: &str) -> blake3::Hash {
        // The prefix keeps these tags apart from whatever else this key may sign one day.
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"halley guest 1\n").update(text.as_bytes());
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_for_its_owner_only_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = SigningKey::load(dir.path()).unwrap();
        let second = SigningKey::load(dir.path()).unwrap();
        assert_eq!(first.0, second.0);
        let path = dir.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(&path, b"short").unwrap();
        assert!(matches!(SigningKey::load(dir.path()), Err(KeyError::Damaged)));
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }
}
