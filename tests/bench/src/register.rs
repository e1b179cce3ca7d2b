//! Registration of the accounts that the load comes from.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::json;
use sha1::Sha1;

use crate::api::{self, Account, Registered};
use crate::bench::Bench;
use crate::http::{Conn, Req};

/// How accounts are registered.
#[derive(Clone)]
pub enum Method {
    /// m.login.dummy alone.
    Open,
    /// m.login.registration_token, and m.login.dummy where the server asks for that as well.
    Token(String),
    /// Synapse's admin endpoint with its shared secret.
    SharedSecret(String),
}

const PASSWORD: &str = "hsbench-Passw0rd!";

pub async fn register(bench: &Bench, conn: &mut Conn, user: &str) -> Result<Account> {
    let registered: Registered = match &bench.registration {
        Method::SharedSecret(secret) => shared_secret(bench, conn, user, secret).await?,
        Method::Open => interactive(conn, user, None).await?,
        Method::Token(token) => interactive(conn, user, Some(token)).await?,
    };
    Ok(Account {
        token: registered.access_token,
    })
}

#[derive(Deserialize)]
struct Challenge {
    session: Option<String>,
    #[serde(default)]
    flows: Vec<Flow>,
    #[serde(default)]
    completed: Vec<String>,
}

#[derive(Deserialize)]
struct Flow {
    stages: Vec<String>,
}

/// User-interactive authentication: does stage after stage of the first flow it can complete.
async fn interactive(conn: &mut Conn, user: &str, token: Option<&str>) -> Result<Registered> {
    const DUMMY: &str = "m.login.dummy";
    const TOKEN: &str = "m.login.registration_token";
    let auth = |stage: &str, session: Option<&str>| match (stage, session) {
        (TOKEN, Some(s)) => json!({"type": TOKEN, "token": token, "session": s}),
        (TOKEN, None) => json!({"type": TOKEN, "token": token}),
        (stage, Some(s)) => json!({"type": stage, "session": s}),
        (stage, None) => json!({"type": stage}),
    };
    let known = |stage: &str| stage == DUMMY || (stage == TOKEN && token.is_some());

    let first = if token.is_some() { TOKEN } else { DUMMY };
    let mut req = api::register(user, PASSWORD, auth(first, None));
    let mut answer = Bytes::new();
    for _ in 0..4 {
        let reply = conn.send_any_status(&req).await?;
        if reply.status == 200 {
            return reply.json();
        }
        let challenge: Challenge = match reply.status {
            401 => reply.json()?,
            status => bail!(
                "register: {status} {}",
                String::from_utf8_lossy(&reply.body)
            ),
        };
        let flow = challenge
            .flows
            .iter()
            .find(|flow| flow.stages.iter().all(|s| known(s)))
            .context("register: no flow that this program can complete")?;
        let stage = flow
            .stages
            .iter()
            .find(|stage| !challenge.completed.contains(stage))
            .context("register: all stages done, yet not registered")?;
        answer = reply.body;
        req = api::register(user, PASSWORD, auth(stage, challenge.session.as_deref()));
    }
    bail!("register: refused: {}", String::from_utf8_lossy(&answer))
}

#[derive(Deserialize)]
struct Nonce {
    nonce: String,
}

async fn shared_secret(
    bench: &Bench,
    conn: &mut Conn,
    user: &str,
    secret: &str,
) -> Result<Registered> {
    let nonce: Nonce = bench.setup(conn, &api::synapse_nonce()).await?.json()?;
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any key length is fine");
    mac.update(format!("{}\0{user}\0{PASSWORD}\0notadmin", nonce.nonce).as_bytes());
    let mac: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let req: Req = api::synapse_register(json!({
        "nonce": nonce.nonce, "username": user, "password": PASSWORD, "admin": false, "mac": mac,
    }));
    bench.setup(conn, &req).await?.json()
}
