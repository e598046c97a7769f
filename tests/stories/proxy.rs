//! A TCP proxy between the program and a server, which does to a connection what networks do: cuts, resets, half-closes
//! and stalls it, at a byte or at a message that a story names.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where bytes are going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What sets the fault off, once.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// So many bytes have gone this way, in all connections together; the next one does not.
    Bytes(Way, usize),
    /// A client's message with this text, counted from 1: it does not reach the server.
    Before(&'static str, usize),
    /// The server's answer to a client's message with this text, counted from 1: it does not reach the client.
    Answer(&'static str, usize),
}

/// A `commit` as the engine sends it: type, length, text.
pub const COMMIT: &str = "Q\0\0\0\x0bcommit\0";

/// What happens to the connection then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both ends are told that it is over.
    Close,
    /// Both ends get an RST.
    Reset,
    /// Whom the bytes were going to is told that there are no more; the other way goes on.
    HalfClose,
    /// Nothing passes any more, and nobody is told.
    Stall,
    /// Nothing passes any more in any connection, those to come included, and nobody is told.
    Silence,
    /// The message waits for [`Proxy::release`].
    Hold,
}

/// Listens while it lives. Dropping it closes all connections.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    conninfo: String,
    _runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    armed: Mutex<Option<Armed>>,
    has_struck: AtomicBool,
    is_silent: AtomicBool,
    keeps_servers: AtomicBool,
    released: Notify,
}

#[derive(Clone, Copy)]
struct Armed {
    trigger: Trigger,
    fault: Fault,
}

/// What becomes of some bytes.
enum Verdict {
    Pass,
    /// So many of them pass, then the fault strikes.
    Strike(usize, Fault),
    /// They pass, and the fault strikes when the server answers.
    StrikeAnswer(Fault),
}

impl Proxy {
    /// A proxy to the server of this conninfo.
    pub fn to(conninfo: &str) -> Proxy {
        let server = address(conninfo);
        let runtime = Runtime::new().expect("a runtime starts");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let port = listener.local_addr().expect("the listener has an address").port();
        let shared = Arc::new(Shared::default());
        runtime.spawn(accept(listener, server, Arc::clone(&shared)));
        Proxy { shared, port, conninfo: conninfo.to_string(), _runtime: runtime }
    }

    /// The same database by way of the proxy.
    pub fn conninfo(&self) -> String {
        let is_kept = |word: &&str| !["host=", "hostaddr=", "port="].iter().any(|key| word.starts_with(key));
        let kept: Vec<&str> = self.conninfo.split_whitespace().filter(is_kept).collect();
        format!("host=127.0.0.1 port={} {}", self.port, kept.join(" "))
    }

    /// Gets a fault ready, in the place of one that was.
    pub fn arm(&self, trigger: Trigger, fault: Fault) {
        self.shared.has_struck.store(false, Ordering::SeqCst);
        *self.shared.armed.lock().unwrap() = Some(Armed { trigger, fault });
    }

    /// Whether the fault that was armed last has struck.
    pub fn has_struck(&self) -> bool {
        self.shared.has_struck.load(Ordering::SeqCst)
    }

    /// Lets the message go on that [`Fault::Hold`] keeps.
    pub fn release(&self) {
        self.shared.released.notify_one();
    }

    /// From now on the server does not hear of a client's end.
    pub fn keep_servers(&self) {
        self.shared.keeps_servers.store(true, Ordering::SeqCst);
    }
}

fn address(conninfo: &str) -> String {
    let config: Config = conninfo.parse().expect("the conninfo is one");
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        other => panic!("a proxy needs a TCP host: {other:?}"),
    };
    format!("{host}:{}", config.get_ports().first().copied().unwrap_or(5432))
}

async fn accept(listener: TcpListener, server: String, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, shared) = (server.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // A server that is down is a client that is hung up on.
            if let Ok(server) = TcpStream::connect(server).await {
                forward(client, server, &shared).await;
            }
        });
    }
}

async fn forward(client: TcpStream, server: TcpStream, shared: &Shared) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answer = Mutex::new(None);
    let faults = {
        let up = Pump { way: Way::ToServer, shared, answer: &answer }.run(&mut from_client, &mut to_server);
        let down = Pump { way: Way::ToClient, shared, answer: &answer }.run(&mut from_server, &mut to_client);
        tokio::try_join!(up, down)
    };
    match faults {
        Err(Fault::Reset) => {
            for half in [to_client, to_server] {
                let _ = half.as_ref().set_zero_linger();
                // Dropping it would say a proper end first.
                half.forget();
            }
        }
        Err(Fault::Stall | Fault::Silence) => pending().await,
        _ => {}
    }
}

/// One way of one connection.
struct Pump<'a> {
    way: Way,
    shared: &'a Shared,
    /// What strikes when the server answers.
    answer: &'a Mutex<Option<Fault>>,
}

impl Pump<'_> {
    /// Until the end of what comes, or the fault that ends both ways.
    async fn run(self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Result<(), Fault> {
        let mut buffer = vec![0; 64 << 10];
        let mut is_cut = false;
        loop {
            let count = from.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return self.end(to).await;
            }
            if self.shared.is_silent.load(Ordering::SeqCst) {
                return Err(Fault::Silence);
            }
            let strikes = match self.shared.judge(self.way, &buffer[..count], self.answer) {
                _ if is_cut => continue,
                Verdict::Pass => None,
                Verdict::Strike(passing, fault) => Some((passing, fault)),
                Verdict::StrikeAnswer(fault) => {
                    *self.answer.lock().unwrap() = Some(fault);
                    None
                }
            };
            let passing = strikes.map_or(count, |(passing, _)| passing);
            if to.write_all(&buffer[..passing]).await.is_err() {
                return self.end(to).await;
            }
            match strikes {
                None => {}
                Some((passing, Fault::Hold)) => {
                    self.shared.released.notified().await;
                    let _ = to.write_all(&buffer[passing..count]).await;
                }
                Some((_, Fault::HalfClose)) => {
                    is_cut = true;
                    let _ = to.shutdown().await;
                }
                Some((_, fault)) => return Err(fault),
            }
        }
    }

    async fn end(&self, to: &mut OwnedWriteHalf) -> Result<(), Fault> {
        if self.way == Way::ToServer && self.shared.keeps_servers.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        let _ = to.shutdown().await;
        Ok(())
    }
}

impl Shared {
    fn judge(&self, way: Way, bytes: &[u8], answer: &Mutex<Option<Fault>>) -> Verdict {
        if let (Way::ToClient, Some(fault)) = (way, answer.lock().unwrap().take()) {
            return self.strike(0, fault);
        }
        let mut armed = self.armed.lock().unwrap();
        let Some(Armed { trigger, fault }) = armed.as_mut() else { return Verdict::Pass };
        let fault = *fault;
        match trigger {
            Trigger::Bytes(when, left) if *when == way => {
                if bytes.len() <= *left {
                    *left -= bytes.len();
                    return Verdict::Pass;
                }
                let passing = *left;
                *armed = None;
                self.strike(passing, fault)
            }
            Trigger::Before(text, count) | Trigger::Answer(text, count)
                if way == Way::ToServer && contains(bytes, text) =>
            {
                *count -= 1;
                if *count > 0 {
                    return Verdict::Pass;
                }
                let is_before = matches!(trigger, Trigger::Before(..));
                *armed = None;
                if is_before { self.strike(0, fault) } else { Verdict::StrikeAnswer(fault) }
            }
            _ => Verdict::Pass,
        }
    }

    fn strike(&self, passing: usize, fault: Fault) -> Verdict {
        self.is_silent.fetch_or(fault == Fault::Silence, Ordering::SeqCst);
        self.has_struck.store(true, Ordering::SeqCst);
        Verdict::Strike(passing, fault)
    }
}

/// The client sends a message at once and waits for its answer, so that one is never cut into two reads.
fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}
