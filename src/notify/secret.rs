//! Secrets: read from the environment or a private file, never printed, and scrubbed out of every
//! text that came from outside before a person or a log sees it.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::SecretSource;

/// A text that no formatter prints.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the wire and nothing else.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why a secret cannot be had. Names the place, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is absent, empty or not text.
    #[error("expected a secret in the environment variable {0}, found none; export it or use {{ file = \"PATH\" }}")]
    Variable(String),
    /// The file cannot be read.
    #[error("cannot read the secret in {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others can read or replace the file.
    #[error("secret file {}: expected a plain file of this user that nobody else can read, found {found}; {mend}", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
        /// The command that mends it.
        mend: String,
    },
    /// The first line is empty, too long, or has characters that no secret has.
    #[error("expected a secret of 1 to 4096 printable characters in {0}, found something else (not shown)")]
    Content(String),
}

/// Reads a secret from its place.
///
/// # Errors
/// [`SecretError`].
pub(super) fn load(source: &SecretSource) -> Result<Secret, SecretError> {
    let (text, place) = match source {
        SecretSource::Env(name) => {
            let text = std::env::var(name).map_err(|_| SecretError::Variable(name.clone()))?;
            (text, format!("the environment variable {name}"))
        }
        SecretSource::File(path) => (read_private(path)?, path.display().to_string()),
    };
    let text = text.trim().to_owned();
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if text.is_empty() || text.len() > 4096 || !printable {
        return Err(if text.is_empty() && matches!(source, SecretSource::Env(_)) {
            SecretError::Variable(place.trim_start_matches("the environment variable ").to_owned())
        } else {
            SecretError::Content(place)
        });
    }
    Ok(Secret(text))
}

/// The first line of a file that only this user (or root) owns and only its owner can read.
fn read_private(path: &Path) -> Result<String, SecretError> {
    let error = |source| SecretError::Read { path: path.to_owned(), source };
    let exposed = |found: String, mend: String| SecretError::Exposed { path: path.to_owned(), found, mend };
    // The checks look at the opened file, so that it cannot be exchanged between check and use.
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = match opened {
        Err(refused) if refused.raw_os_error() == Some(libc::ELOOP) => {
            return Err(exposed("a symbolic link".into(), "name the file itself".into()));
        }
        other => other.map_err(error)?,
    };
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Err(exposed("something that is no file".into(), "name a file".into()));
    }
    if metadata.mode() & 0o077 != 0 {
        let found = format!("mode {:03o}", metadata.mode() & 0o777);
        return Err(exposed(found, format!("run: chmod 600 {}", path.display())));
    }
    // SAFETY: geteuid only reads a number of this process.
    let user = unsafe { libc::geteuid() };
    if metadata.uid() != user && metadata.uid() != 0 {
        return Err(exposed(format!("owner {}", metadata.uid()), format!("run: chown {user} {}", path.display())));
    }
    let mut line = String::new();
    BufReader::new(file.take(8192)).read_line(&mut line).map_err(error)?;
    Ok(line)
}

/// Takes every known secret out of a text, in the forms in which servers and libraries echo it.
#[derive(Clone, Default)]
pub(super) struct Scrubber {
    forms: Vec<String>,
}

impl Scrubber {
    /// Learns a secret: as it is, percent-encoded, and in Base64.
    pub(super) fn learn(&mut self, secret: &str) {
        self.forms.extend([secret.to_owned(), percent_encoded(secret), STANDARD.encode(secret)]);
        // The path of an address is as good as the address.
        if let Some((_, rest)) = secret.split_once("://")
            && let Some((_, path)) = rest.split_once('/')
        {
            self.forms.push(path.to_owned());
            self.forms.extend(path.split('/').filter(|part| part.len() >= 16).map(str::to_owned));
        }
        // A bot's token is a public number and a secret half.
        if let Some((_, half)) = secret.split_once(':')
            && half.len() >= 8
            && !half.starts_with("//")
        {
            self.forms.push(half.to_owned());
        }
        self.forms.retain(|form| form.len() >= 4);
        self.forms.sort_by(|left, right| right.len().cmp(&left.len()).then_with(|| left.cmp(right)));
        self.forms.dedup();
    }

    /// The text with every secret replaced, control characters made visible, and at most 300 characters long.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for form in &self.forms {
            if clean.contains(form.as_str()) {
                clean = clean.replace(form.as_str(), "[secret]");
            }
        }
        let mut short: String = clean.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if clean.chars().nth(300).is_some() {
            short.push('…');
        }
        short
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrubber({} forms)", self.forms.len())
    }
}

/// Percent-encoding of everything but letters, digits and `-._~`.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend([byte >> 4, byte & 0xf].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn file(folder: &Path, name: &str, mode: u32) -> SecretSource {
        let path = folder.join(name);
        std::fs::write(&path, "CANARY-1234\nrest\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        SecretSource::File(path)
    }

    #[test]
    fn a_private_file_is_read_and_an_open_one_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(&file(folder.path(), "good", 0o600)).unwrap().expose(), "CANARY-1234");
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let error = load(&file(folder.path(), "open", mode)).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && !error.contains("CANARY"), "{error}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("good"), &link).unwrap();
        assert!(load(&SecretSource::File(link)).unwrap_err().to_string().contains("symbolic link"));
        let error = load(&SecretSource::Env("PAWL_NO_SUCH_VARIABLE".into())).unwrap_err().to_string();
        assert!(error.contains("PAWL_NO_SUCH_VARIABLE"), "{error}");
    }

    #[test]
    fn no_form_of_a_secret_survives_the_scrubber() {
        let mut scrubber = Scrubber::default();
        scrubber.learn("123456:AA-Canary_token/x");
        scrubber.learn("https://discord.com/api/webhooks/99/Canary-Hook-Canary-Hook");
        for text in [
            "POST https://api.telegram.org/bot123456:AA-Canary_token/x/sendMessage failed",
            "bad uri bot123456%3AAA-Canary_token%2Fx",
            "Authorization: Basic MTIzNDU2OkFBLUNhbmFyeV90b2tlbi94",
            "no route to /api/webhooks/99/Canary-Hook-Canary-Hook",
            "token Canary-Hook-Canary-Hook",
            "half AA-Canary_token/x",
        ] {
            let clean = scrubber.clean(text);
            assert!(!clean.contains("anary") && clean.contains("[secret]"), "{clean}");
        }
        assert_eq!(format!("{:?}", Secret::new("CANARY".into())), "[secret]");
        assert!(scrubber.clean(&"x".repeat(5000)).chars().count() <= 301);
    }
}
