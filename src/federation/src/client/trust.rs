//! Which certificates are trusted: those of the system, else Mozilla's, and those that the operator names.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read certificates from {}: {error}", path.display())]
    Read {
        path: PathBuf,
        error: rustls::pki_types::pem::Error,
    },
    #[error("{} holds no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("{} holds a certificate that cannot be trusted: {error}", path.display())]
    Invalid { path: PathBuf, error: rustls::Error },
}

/// The roots of the system with those of the given PEM files.
pub fn trusted_certificates(files: &[PathBuf]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "cannot read some of the system's certificates");
    }
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::info!("the system has no certificates: trusting Mozilla's");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for path in files {
        add_file(&mut roots, path)?;
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &PathBuf) -> Result<(), TrustError> {
    let unread = |error| TrustError::Read {
        path: path.clone(),
        error,
    };
    let mut is_empty = true;
    for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
        is_empty = false;
        let added = roots.add(certificate.map_err(unread)?);
        added.map_err(|error| TrustError::Invalid {
            path: path.clone(),
            error,
        })?;
    }
    if is_empty {
        return Err(TrustError::Empty { path: path.clone() });
    }
    Ok(())
}

/// TLS 1.2 and 1.3, for HTTP of the given versions.
pub(super) fn tls(
    roots: RootCertStore,
    protocols: &[&[u8]],
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}
