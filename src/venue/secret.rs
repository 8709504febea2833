//! Secrets: keys and tokens that the engine must hold and must never show. From the environment or
//! from a file that others cannot read; every venue and notifier takes them from here.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest secret file accepted, bytes.
const LONGEST_SECRET: u64 = 16 << 10;

/// Something that only we may know. Prints as `Secret(hidden)`; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// From bytes already in memory; blanks at both ends are taken off.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.trim_ascii().to_vec())
    }

    /// From an environment variable.
    ///
    /// # Errors
    /// The variable is absent or blank.
    pub fn from_env(name: &str) -> Result<Self, SecretError> {
        let text = std::env::var_os(name).unwrap_or_default();
        let secret = Self::new(text.as_encoded_bytes());
        if secret.0.is_empty() { Err(SecretError::NoVariable(name.to_owned())) } else { Ok(secret) }
    }

    /// From a file that only its owner may read.
    ///
    /// # Errors
    /// It cannot be read, others can read it, or it is blank or too long to be a key.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let io = |error: std::io::Error| SecretError::Io { path: path.to_owned(), reason: error.to_string() };
        let mut file = std::fs::File::open(path).map_err(io)?;
        // Asked of the open file, not of the path: nobody can swap it in between.
        let metadata = file.metadata().map_err(io)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(SecretError::Exposed { path: path.to_owned(), mode });
            }
        }
        let found = metadata.len();
        if found > LONGEST_SECRET {
            return Err(SecretError::Size { path: path.to_owned(), found });
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(LONGEST_SECRET).read_to_end(&mut bytes).map_err(io)?;
        let secret = Self::new(&bytes);
        bytes.fill(0);
        std::hint::black_box(&bytes);
        if secret.0.is_empty() {
            return Err(SecretError::Size { path: path.to_owned(), found });
        }
        Ok(secret)
    }

    /// Takes over bytes that are known to be a secret, such as a decoded key.
    pub(super) fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// An empty secret to be filled without being moved in memory.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends; stays in place while the capacity lasts.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The secret itself. Never log it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving the wiping out.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Why a secret is not to be had. Never holds the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No such variable, or nothing in it.
    #[error("expected a key in the environment variable {0}, found none; export it or name a key file")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("{}: expected a readable key file, found: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// Others may read it.
    #[error("{}: expected a key file that only its owner can read, found mode {mode:03o}; run chmod 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Blank, or far too long.
    #[error("{}: expected a key of 1 to {LONGEST_SECRET} bytes, found a file of {found}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, b"  s3cret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Secret::from_file(&path).unwrap_err();
        assert!(error.to_string().contains("found mode 640; run chmod 600"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Secret::from_file(&path).unwrap().expose(), b"s3cret");
        std::fs::write(&path, b" \n").unwrap();
        assert!(matches!(Secret::from_file(&path), Err(SecretError::Size { .. })));
        assert!(matches!(Secret::from_file(folder.path()), Err(SecretError::Exposed { .. } | SecretError::Io { .. })));
        assert!(matches!(Secret::from_env("PAWL_NO_SUCH_KEY"), Err(SecretError::NoVariable(_))));
    }
}
