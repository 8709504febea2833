//! Where a secret is kept, and over which addresses it may travel. The secret itself never passes through here.

use std::fmt;
use std::path::PathBuf;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "PATH" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// A file that only its owner can read; its first line.
    File(PathBuf),
}

/// Written by hand because a derived one would quote a token that was put here by mistake.
impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;
        const EXPECTED: &str = "expected { env = \"NAME\" } or { file = \"PATH\" }, found something else (not shown); \
                                a secret never stands in the configuration itself";
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = SecretSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ env = \"NAME\" } or { file = \"PATH\" }")
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom(EXPECTED))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Err(E::custom(EXPECTED))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
                Err(E::custom(EXPECTED))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (Some((key, value)), None) = (map.next_entry::<String, String>()?, map.next_key::<String>()?)
                else {
                    return Err(de::Error::custom(EXPECTED));
                };
                match key.as_str() {
                    "env" if is_variable_name(&value) => Ok(SecretSource::Env(value)),
                    "file" if !value.is_empty() => Ok(SecretSource::File(value.into())),
                    _ => Err(de::Error::custom(EXPECTED)),
                }
            }
        }
        deserializer.deserialize_any(SourceVisitor)
    }
}

/// A token put where a variable's name belongs is caught here: no token is made of these alone.
fn is_variable_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// True for an address that keeps a secret in its path: TLS, or the loopback of this machine.
pub fn is_protected(address: &str) -> bool {
    let plain = address.strip_prefix("http://").map(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !authority.contains('@') && is_loopback(authority.rsplit_once(':').map_or(authority, |(host, _)| host))
    });
    address.starts_with("https://") || plain == Some(true)
}

/// True for names of this machine's own loopback.
pub fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1")
}

#[cfg(test)]
mod tests {
    use super::super::{Config, NotifyParams};
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<NotifyParams, String> {
        Config::parse(text, Path::new("pawl.toml")).map(|config| config.notify).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_in_the_file_is_refused_without_being_quoted() {
        let canary = "123456:CANARY-token";
        for value in [
            format!("\"{canary}\""),
            format!("{{ env = \"{canary}\" }}"),
            format!("{{ token = \"{canary}\" }}"),
            format!("{{ \"{canary}\" = 1 }}"),
            format!("[\"{canary}\"]"),
            format!("{{ env = [\"{canary}\"] }}"),
            format!("{{ env = \"GOOD\", file = \"{canary}\" }}"),
        ] {
            let error = parse(&format!("[notify.telegram]\nchat_id = 1\ntoken = {value}\n")).unwrap_err();
            assert!(!error.contains("CANARY"), "{value}: {error}");
        }
    }

    #[test]
    fn a_secret_travels_only_under_tls_or_on_loopback() {
        for good in ["https://x", "http://127.0.0.1:80/a", "http://localhost", "http://[::1]:8080/x"] {
            assert!(is_protected(good), "{good}");
        }
        for bad in ["http://x", "ftp://127.0.0.1", "http://127.0.0.1.evil.org/", "http://127.0.0.1:80@evil.org/", ""] {
            assert!(!is_protected(bad), "{bad}");
        }
    }
}
