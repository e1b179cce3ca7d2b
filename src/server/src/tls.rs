//! The certificate of the listeners with TLS. It is read again when its files change, and on
//! SIGHUP; one that cannot be read leaves the one before in use.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::blocking, config::Config};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read {}: {error}", path.display())]
    Read {
        path: PathBuf,
        error: rustls::pki_types::pem::Error,
    },
    #[error("{} holds no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("`tls.certificate` and `tls.key` cannot be used: {0}")]
    Invalid(#[from] rustls::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Where the certificate is.
#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The certificate in use.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.0
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }
}

/// Reads the certificate, and goes on reading it until `stop`. `None` where nothing listens with
/// TLS.
pub(crate) async fn start(
    config: &Config,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Option<TlsAcceptor>, TlsError> {
    let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) else {
        return Ok(None);
    };
    let files = Files {
        certificate: certificate.clone(),
        key: key.clone(),
    };
    let provider = Arc::new(ring::default_provider());
    let changed = files.changed();
    let current = Arc::new(Current(RwLock::new(load(&files, &provider).await?)));
    let mut settings = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(current.clone());
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut hangup = signal(SignalKind::hangup())?;
    tasks.spawn(async move {
        let mut changed = changed;
        loop {
            let is_asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(INTERVAL) => false,
                () = stop.cancelled() => return,
            };
            let now = files.changed();
            if is_asked || now != changed {
                changed = now;
                renew(&current, &files, &provider).await;
            }
        }
    });
    Ok(Some(TlsAcceptor::from(Arc::new(settings))))
}

async fn renew(current: &Current, files: &Files, provider: &Arc<CryptoProvider>) {
    match load(files, provider).await {
        Ok(certificate) => {
            *current.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
            tracing::info!("read the TLS certificate again");
        }
        Err(error) => tracing::error!(%error, "the TLS certificate cannot be renewed"),
    }
}

async fn load(
    files: &Files,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let (files, provider) = (files.clone(), provider.clone());
    blocking(move || files.read(&provider)).await
}

impl Files {
    fn read(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let unread = |path: &PathBuf| {
            let path = path.clone();
            move |error| TlsError::Read { path, error }
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(unread(&self.certificate))?;
        if chain.is_empty() {
            let path = self.certificate.clone();
            return Err(TlsError::Empty { path });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(unread(&self.key))?;
        Ok(Arc::new(CertifiedKey::from_der(chain, key, provider)?))
    }

    /// When each file was written; `None` for one that is not there.
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
    }
}
