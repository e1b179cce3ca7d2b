//! Reports to the service manager, such as systemd with `Type=notify` and `WatchdogSec`.
//!
//! Without a service manager (`NOTIFY_SOCKET` is not set) nothing is sent.

use sd_notify::NotifyState;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The server accepts requests.
pub(crate) fn ready() {
    send(NotifyState::Ready);
}

/// The server has begun to shut down.
pub(crate) fn stopping() {
    send(NotifyState::Stopping);
}

/// Pings the watchdog, if the service manager asks for it, until `stop`. The ping runs as an async
/// task, so it also stops when no worker thread of the runtime makes progress.
pub(crate) fn keep_watchdog_alive(tasks: &TaskTracker, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    // Twice per interval, as sd_watchdog_enabled(3) recommends.
    let interval = limit / 2;
    tasks.spawn(async move {
        while stop
            .run_until_cancelled(tokio::time::sleep(interval))
            .await
            .is_some()
        {
            send(NotifyState::Watchdog);
        }
    });
}

fn send(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "could not notify the service manager");
    }
}
