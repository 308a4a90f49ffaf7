//! A network between a program and a server: it counts round trips, can be cut, and can stand still.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Listens on a loopback port and passes on to another, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    to: AtomicU16,
    slow_ms: AtomicU64,
    trips: AtomicU64,
    is_cut: AtomicBool,
    stands_still: AtomicBool,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// In front of what listens on this loopback port.
    ///
    /// # Panics
    /// Where no port is free.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let shared = Arc::new(Shared { to: port.into(), ..Shared::default() });
        let proxy = Self { port: listener.local_addr().unwrap().port(), shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::Relaxed) {
                    break;
                }
                if !shared.is_cut.load(Ordering::Relaxed) {
                    Shared::join(&shared, client);
                }
            }
        });
        proxy
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often something was sent to the server after the server had said something, over all connections: the
    /// round trips that were waited for.
    #[must_use]
    pub fn trips(&self) -> u64 {
        self.shared.trips.load(Ordering::SeqCst)
    }

    /// Ends every connection; new ones end at once.
    pub fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::Relaxed);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Nothing arrives any more, and nobody is told.
    pub fn stand_still(&self) {
        self.shared.stands_still.store(true, Ordering::Relaxed);
    }

    /// Whatever is sent to the server takes this long.
    pub fn slow_down(&self, time: Duration) {
        self.shared.slow_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// New connections lead to another server.
    pub fn lead_to(&self, port: u16) {
        self.shared.to.store(port, Ordering::Relaxed);
    }

    /// As it was before it was cut, stood still or became slow.
    pub fn mend(&self) {
        self.shared.slow_ms.store(0, Ordering::Relaxed);
        self.shared.is_cut.store(false, Ordering::Relaxed);
        self.shared.stands_still.store(false, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the one that listens.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn join(shared: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.to.load(Ordering::Relaxed))) else {
            return;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let [from_client, to_client] = [client.try_clone().unwrap(), client.try_clone().unwrap()];
        let [from_server, to_server] = [server.try_clone().unwrap(), server.try_clone().unwrap()];
        shared.open.lock().unwrap().extend([client, server]);
        // Whether the server had the last word on this connection.
        let answered = Arc::new(AtomicBool::new(true));
        let [one, two] = [(Arc::clone(shared), Arc::clone(&answered)), (Arc::clone(shared), answered)];
        thread::spawn(move || {
            one.0.pass(from_client, to_server, || {
                let mut waited = 0;
                while waited < one.0.slow_ms.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                    waited += 10;
                }
                if one.1.swap(false, Ordering::SeqCst) {
                    one.0.trips.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        thread::spawn(move || two.0.pass(from_server, to_client, || two.1.store(true, Ordering::SeqCst)));
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, note: impl Fn()) {
        let mut buffer = [0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            while self.stands_still.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            note();
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
