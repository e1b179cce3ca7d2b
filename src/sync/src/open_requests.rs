//! The requests of each device that are open: a client needs one, and few more while it reconnects.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use database::UserNumber;
use ruma::{DeviceId, OwnedDeviceId};

type Key = (UserNumber, OwnedDeviceId);

/// Counts open requests by device. Devices without any have no entry.
pub(crate) struct OpenRequests {
    limit: usize,
    open: Mutex<HashMap<Key, usize>>,
}

/// One open request; closed when dropped.
pub(crate) struct OpenRequest<'a> {
    requests: &'a OpenRequests,
    key: Key,
}

impl OpenRequests {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Mutex::default(),
        }
    }

    /// `None` if the device has as many as it may.
    pub(crate) fn open(&self, user: UserNumber, device: &DeviceId) -> Option<OpenRequest<'_>> {
        let key = (user, device.to_owned());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key.clone()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(OpenRequest {
            requests: self,
            key,
        })
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        let open = &self.requests.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::device_id;

    use super::*;

    #[test]
    fn a_device_has_a_number_of_open_requests_and_others_have_their_own() {
        let requests = OpenRequests::new(2);
        let open = |user, device| requests.open(UserNumber(user), device);
        let (first, second) = (open(1, device_id!("A")), open(1, device_id!("A")));
        assert!(first.is_some() && second.is_some());
        assert!(open(1, device_id!("A")).is_none());
        assert!(open(1, device_id!("B")).is_some());
        assert!(open(2, device_id!("A")).is_some());
        drop(first);
        assert!(open(1, device_id!("A")).is_some());
        drop(second);
        assert!(requests.open.lock().expect("no panic").is_empty());
    }
}
