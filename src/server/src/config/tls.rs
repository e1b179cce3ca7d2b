//! The section `tls`: listeners with TLS, and their certificate.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl Tls {
    /// What is wrong with the settings together.
    pub(super) fn mistakes(&self) -> Option<String> {
        let has_files = self.certificate.is_some() && self.key.is_some();
        let has_none = self.certificate.is_none() && self.key.is_none();
        if self.listen.is_empty() {
            (!has_none).then(|| "`tls.certificate` and `tls.key` need `tls.listen`".to_owned())
        } else {
            (!has_files).then(|| "`tls.listen` needs `tls.certificate` and `tls.key`".to_owned())
        }
    }
}
