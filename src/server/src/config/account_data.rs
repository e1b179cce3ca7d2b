//! `[account_data]`: what the account data of one user may take up.

use serde::Deserialize;
use users::AccountDataLimits;

use super::units::Bytes;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AccountData {
    types: u64,
    total_size: Bytes,
}

impl Default for AccountData {
    fn default() -> Self {
        let usual = AccountDataLimits::default();
        Self {
            types: usual.types,
            total_size: Bytes(usual.bytes),
        }
    }
}

impl AccountData {
    pub(crate) fn limits(&self) -> AccountDataLimits {
        AccountDataLimits {
            types: self.types,
            bytes: self.total_size.0,
        }
    }
}
