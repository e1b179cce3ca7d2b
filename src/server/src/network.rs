//! This server among others: the one HTTP client, and federation over it.

use std::sync::Arc;

use database::{Clock, Random, Store};
use federation::{
    Federation, Keys,
    client::{AllowedNetworks, Concurrency, HttpClient, Internet, trusted_certificates},
    dns::{Dns, SystemDns},
};

use crate::{
    app::{BuildError, blocking},
    config::Config,
};

pub(crate) async fn open(
    config: &Config,
    store: &Store,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    keys: &Keys,
) -> Result<(Federation, HttpClient), BuildError> {
    let outgoing = config.outgoing.settings();
    let files = outgoing.ca_certificates;
    let roots = blocking(move || trusted_certificates(&files)).await?;
    let dns: Arc<dyn Dns> = Arc::new(SystemDns::new());
    let networks = AllowedNetworks(outgoing.allowed_networks);
    let internet = Internet::new(networks, &roots, &dns, clock.clone(), random)?;
    let client = HttpClient::new(Arc::new(internet), Concurrency::default());
    let federation = Federation::new(
        store.clone(),
        clock.clone(),
        random.clone(),
        keys.clone(),
        client.clone(),
        config.federation.settings(&config.server_name),
    );
    Ok((federation, client))
}
