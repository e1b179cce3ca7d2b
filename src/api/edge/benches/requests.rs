//! Heap bytes of a parked request, and CPU time of a request that is answered at once, both over
//! loopback connections as the server serves them. `docs/decisions/001-axum-over-own-connections.md` has
//! the figures.

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, mpsc},
    time::Duration,
};

use database::{Inline, Memory, MockClock, SeededRandom, Store};
use edge::{
    ApiError, Call, ConnectionLimits, ConnectionTimeouts, Connections, Edge, EdgeContext,
    EdgeSettings, FromRef, RateLimits, Routes, State, TrustedProxies, serve,
};
use ruma::{
    api::client::{account::whoami, discovery::get_capabilities},
    server_name,
};
use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Hashing, NewAccount, NewDevice, Users, UsersConfig};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Connections that wait at once.
const PARKED: usize = 1_500;
const REQUESTS: usize = 40_000;
const ROUNDS: usize = 5;

#[derive(Clone)]
struct Api {
    users: Users,
    parked: Parked,
}

#[derive(Clone)]
struct Parked(Arc<(Notify, std::sync::atomic::AtomicUsize)>);

impl FromRef<Api> for Users {
    fn from_ref(api: &Api) -> Self {
        api.users.clone()
    }
}

impl FromRef<Api> for Parked {
    fn from_ref(api: &Api) -> Self {
        api.parked.clone()
    }
}

/// Waits as a `/sync` does: holding the caller, some handles and the request.
async fn park(
    State(users): State<Users>,
    State(parked): State<Parked>,
    call: Call<get_capabilities::v3::Request>,
) -> Result<whoami::v3::Response, ApiError> {
    parked.0.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    parked.0.0.notified().await;
    drop(users);
    Ok(whoami::v3::Response::new(
        call.caller.user_id.clone(),
        false,
    ))
}

async fn whoami(call: Call<whoami::v3::Request>) -> Result<whoami::v3::Response, ApiError> {
    Ok(whoami::v3::Response::new(
        call.caller.user_id.clone(),
        false,
    ))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let parked = Parked(Arc::default());
    let (address, token) = runtime.block_on(start(parked.clone()));
    // Warms every cache and thread-local.
    runtime.block_on(answer(address, &token, REQUESTS / 10));
    let (bytes, allocations) = runtime.block_on(memory(address, &token, &parked));
    println!("parked request: {bytes} bytes of heap in {allocations} allocations");
    for round in 1..=ROUNDS {
        let nanoseconds = runtime.block_on(answer(address, &token, REQUESTS));
        println!("answered request, round {round}: {nanoseconds} ns of CPU");
    }
}

async fn start(parked: Parked) -> (SocketAddr, String) {
    let (memory, clock) = (Memory::new(), Arc::new(MockClock::default()));
    let random = Arc::new(SeededRandom::new(7));
    let config = UsersConfig {
        hashing: Hashing::weak_for_tests(),
        ..UsersConfig::new(server_name!("example.org").to_owned())
    };
    let tasks = TaskTracker::new();
    let store = Store::new(Arc::new(memory));
    let users = Users::new(store, clock.clone(), random.clone(), config, tasks.clone());
    let account = NewAccount {
        user_id: users.wanted_name("alice").expect("a name"),
        password: None,
        is_admin: false,
        device: Some(NewDevice::default()),
    };
    let registered = users.register(account).await.expect("it registers");
    let session = registered.session.expect("it logs in");
    let rate_limits = RateLimits {
        enabled: false,
        ..RateLimits::default()
    };
    let settings = EdgeSettings {
        rate_limits,
        ..EdgeSettings::default()
    };
    let context = EdgeContext::new(users.clone(), settings, clock, &*random, Arc::new(Inline));
    let routes = Routes::new(Api { users, parked }).add(park).add(whoami);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let timeouts = ConnectionTimeouts {
        head: Duration::from_mins(10),
        stall: Duration::from_mins(10),
    };
    let limits = ConnectionLimits {
        total: 2 * PARKED,
        per_address: PARKED,
        trusted_proxies: TrustedProxies::default(),
    };
    tasks.spawn(serve(
        listener,
        Arc::new(Edge::new(routes, context)),
        Connections::new(limits, timeouts),
        tasks.clone(),
        CancellationToken::new(),
    ));
    (address, session.access_token.reveal().clone())
}

/// Heap bytes and allocations of each of many requests that wait. The clients' sockets hold none.
async fn memory(address: SocketAddr, token: &str, parked: &Parked) -> (usize, usize) {
    let request = request("/_matrix/client/v3/capabilities", token);
    let region = Region::new(ALLOCATOR);
    let clients = std::thread::spawn(move || {
        let connect = |_| {
            let mut stream = TcpStream::connect(address).expect("it connects");
            stream.write_all(&request).expect("it sends");
            stream
        };
        (0..PARKED).map(connect).collect::<Vec<_>>()
    });
    while parked.0.1.load(std::sync::atomic::Ordering::SeqCst) < PARKED {
        tokio::task::yield_now().await;
    }
    let clients = clients.join().expect("the clients do not panic");
    let change = region.change();
    parked.0.0.notify_waiters();
    drop(clients);
    let bytes = change.bytes_allocated - change.bytes_deallocated;
    let allocations = change.allocations - change.deallocations;
    (bytes / PARKED, allocations / PARKED)
}

/// Nanoseconds of this thread, which serves, for each request of one keep-alive connection.
async fn answer(address: SocketAddr, token: &str, count: usize) -> u128 {
    let request = request("/_matrix/client/v3/account/whoami", token);
    let (done, mut ended) = tokio::sync::oneshot::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("it connects");
        let mut buffer = [0; 4096];
        may_go.recv().expect("it begins");
        for _ in 0..count {
            stream.write_all(&request).expect("it sends");
            let read = stream.read(&mut buffer).expect("it is answered");
            assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "an answer");
        }
        done.send(()).expect("somebody waits");
    });
    let begin = cpu_time();
    go.send(()).expect("the client waits");
    (&mut ended).await.expect("the client ends");
    let used = cpu_time().saturating_sub(begin);
    client.join().expect("the client does not panic");
    used.as_nanos() / count as u128
}

fn request(path: &str, token: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench/1.0\r\naccept: */*\r\n\
         accept-encoding: gzip, deflate\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("time is positive");
    Duration::new(
        seconds,
        u32::try_from(time.tv_nsec).expect("a part of a second"),
    )
}
