//! TLS with a certificate made at start: encryption for tests of TLS, proof of nothing.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls refuses it.
    #[error("cannot use the certificate: {0}")]
    Config(#[from] rustls::Error),
    /// It cannot be written where asked.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A server configuration with a fresh self-signed certificate for these names; the certificate is
/// written as PEM, for clients to trust.
///
/// # Errors
/// [`TlsError`].
pub(super) fn self_signed(names: &[String], pem: Option<&Path>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let made = rcgen::generate_simple_self_signed(names.to_vec())?;
    if let Some(path) = pem {
        std::fs::write(path, made.cert.pem())
            .map_err(|source| TlsError::Write { path: path.display().to_string(), source })?;
    }
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(Arc::new(config))
}
