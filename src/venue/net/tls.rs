//! TLS as a client: certificates verified against the public roots, or against one that the user
//! names (the simulated venue's own). There is no way to switch verification off.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why TLS cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The root certificate is not one.
    #[error("expected a root certificate in PEM, found: {0}")]
    Root(String),
    /// The library refused its own defaults.
    #[error("expected TLS 1.2 and 1.3 to be available, found: {0}")]
    Setup(String),
}

/// A configuration that trusts the public roots, or only `root` (PEM).
///
/// # Errors
/// The root is not a certificate.
pub fn client_config(root: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match root {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            let certificate = CertificateDer::from_pem_slice(pem).map_err(|error| TlsError::Root(error.to_string()))?;
            roots.add(certificate).map_err(|error| TlsError::Root(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
