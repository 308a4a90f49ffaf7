//! Every connection that is open, and when one has to go.
//!
//! A connection has no timers of its own: it notes when it last did what, on a clock that ticks twice a second,
//! and one task looks at all of them. Where there are too many, the one that has been doing nothing for the
//! longest makes room, so that ten thousand that say nothing keep nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::Notify;

use super::framing::Finding;

/// How often the keeper looks; its clock is as coarse.
const TICK: Duration = Duration::from_millis(500);

/// How long a connection may be in each state.
pub(super) mod limits {
    use std::time::Duration;

    /// From its acceptance to the end of its first request's head, the TLS handshake included; and from the
    /// first byte of any later head to its end.
    pub(in super::super) const HEAD: Duration = Duration::from_secs(10);
    /// Between requests. Longer than the 60 s of common proxies, which would otherwise send a request into a
    /// connection that is just being closed.
    pub(in super::super) const IDLE: Duration = Duration::from_secs(75);
    /// For a client that has been asked to go (HTTP/2 GOAWAY).
    pub(in super::super) const FAREWELL: Duration = Duration::from_secs(10);
    /// Without the client taking anything of what is being sent.
    pub(in super::super) const STALLED: Duration = Duration::from_secs(30);
    /// For an answer with an end to be taken whole, unless another one is meanwhile. A client of HTTP/2 can
    /// keep a stream waiting while it reads the connection (RFC 9113 §10.5).
    pub(in super::super) const ANSWER: Duration = Duration::from_secs(120);
    /// For what a client goes on sending after its last answer. Closing at once would reset the connection, and
    /// the client would never read that answer.
    pub(in super::super) const LINGER: Duration = Duration::from_secs(2);
}

/// Connections at the same time, and of one address. Trusted proxies are exempt from the second.
pub(super) const MOST: usize = 8192;
pub(super) const MOST_OF_ONE: u32 = 2048;

/// Milliseconds on the keeper's clock; never 0, which stands for "not".
type Tick = u64;

#[derive(Debug)]
pub(super) struct Keeper {
    open: Mutex<Open>,
    began: Instant,
    clock: AtomicU64,
    most: usize,
    trusted: Vec<IpNet>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<Kept>>,
    of_one: HashMap<IpAddr, u32>,
    next: u64,
}

/// What is noted about one connection.
#[derive(Debug)]
pub(super) struct Kept {
    id: u64,
    address: IpAddr,
    keeper: Arc<Keeper>,
    accepted: Tick,
    /// Requests whose answers have not been sent to the end.
    in_flight: AtomicU32,
    /// Those of them whose answers have no end of their own.
    streams: AtomicU32,
    /// Those of them whose answers are being sent and have one.
    answers: AtomicU32,
    /// When the first of them began, or the last one ended.
    answering: AtomicU64,
    served: AtomicU64,
    /// When a request last ended.
    active: AtomicU64,
    /// When the head that is being read began; 0: none is.
    head: AtomicU64,
    /// Since when the client takes nothing of what is being sent; 0: it does.
    stalled: AtomicU64,
    /// When it was shut down; 0: it is not.
    closing: AtomicU64,
    /// Number of the request that must be refused; `u64::MAX`: none.
    flaw: AtomicU64,
    flaw_text: Mutex<&'static str>,
    told: AtomicU8,
    tell: Notify,
}

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Stay = 0,
    /// Finish what is in flight, then go.
    Leave = 1,
    Drop = 2,
}

/// What the decision about a connection depends on; all in milliseconds, `None` where it does not apply.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    in_flight: bool,
    has_served: bool,
    age: u64,
    inactive: u64,
    in_head: Option<u64>,
    stalled: Option<u64>,
    answering: Option<u64>,
    closing: Option<u64>,
}

fn decide(state: State) -> Order {
    let over = |time: Option<u64>, limit: Duration| time.is_some_and(|ms| u128::from(ms) > limit.as_millis());
    if over(state.stalled, limits::STALLED)
        || over(state.answering, limits::ANSWER)
        || over(state.closing, limits::LINGER)
    {
        return Order::Drop;
    }
    if state.in_flight {
        return Order::Stay;
    }
    let first_head = (!state.has_served).then_some(state.age);
    if over(state.in_head, limits::HEAD) || over(first_head, limits::HEAD) {
        return Order::Drop;
    }
    if over(Some(state.inactive), limits::IDLE + limits::FAREWELL) {
        return Order::Drop;
    }
    if over(Some(state.inactive), limits::IDLE) { Order::Leave } else { Order::Stay }
}

impl Keeper {
    pub(super) fn new(most: usize, trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            began: Instant::now(),
            clock: AtomicU64::new(1),
            most,
            trusted,
            emptied: Notify::new(),
        })
    }

    /// Takes a connection in, another one going where there are too many; none where all are busy.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Kept>> {
        let address = address.to_canonical();
        let now = self.now();
        let mut open = self.lock();
        let exempt = self.trusted.iter().any(|net| net.contains(&address));
        if !exempt && open.of_one.get(&address).is_some_and(|n| *n >= MOST_OF_ONE) {
            open.make_room(now, Some(address))?;
        }
        if open.connections.len() >= self.most {
            open.make_room(now, None)?;
        }
        let id = open.next;
        open.next += 1;
        let kept = Arc::new(Kept {
            id,
            address,
            keeper: Arc::clone(self),
            accepted: now,
            in_flight: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            answering: AtomicU64::new(now),
            served: AtomicU64::new(0),
            active: AtomicU64::new(now),
            head: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            closing: AtomicU64::new(0),
            flaw: AtomicU64::new(u64::MAX),
            flaw_text: Mutex::new(""),
            told: AtomicU8::new(Order::Stay as u8),
            tell: Notify::new(),
        });
        open.connections.insert(id, Arc::clone(&kept));
        *open.of_one.entry(address).or_default() += 1;
        Some(kept)
    }

    /// Looks at all connections, again and again.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
            self.clock.store(now, Ordering::Relaxed);
            for kept in self.lock().connections.values() {
                kept.tell(decide(kept.state(now)));
            }
        }
    }

    pub(super) fn tell_all(&self, order: Order) {
        for kept in self.lock().connections.values() {
            kept.tell(order);
        }
    }

    /// Resolves when no connection is open.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.lock().connections.len()
    }

    fn remove(&self, id: u64) {
        let mut open = self.lock();
        open.remove(id);
        if open.connections.is_empty() {
            drop(open);
            self.emptied.notify_waiters();
        }
    }

    fn now(&self) -> Tick {
        self.clock.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Drops one connection; none where all are answering something. First go those that never asked anything,
    /// then those between requests, last those that only follow a stream, since they can come back to it; among
    /// equals those of whoever has the most, then the longest without a request.
    fn make_room(&mut self, now: Tick, of: Option<IpAddr>) -> Option<()> {
        let mine = self.connections.values().filter(|c| of.is_none_or(|address| c.address == address));
        let candidates = mine.filter_map(|c| {
            let busy = c.in_flight.load(Ordering::Relaxed);
            let rank = match c.state(now) {
                _ if busy > c.streams.load(Ordering::Relaxed) => return None,
                _ if busy > 0 => 0,
                State { has_served: true, .. } => 1,
                _ => 2,
            };
            let count = self.of_one.get(&c.address).copied().unwrap_or(0);
            Some((rank, count, now.saturating_sub(c.active.load(Ordering::Relaxed)), u64::MAX - c.id, c))
        });
        let (.., victim) =
            candidates.max_by_key(|(rank, count, since, age, _)| (*rank, *count, *since, *age))?;
        victim.tell(Order::Drop);
        let id = victim.id;
        self.remove(id);
        Some(())
    }

    fn remove(&mut self, id: u64) {
        let Some(kept) = self.connections.remove(&id) else { return };
        if let Some(count) = self.of_one.get_mut(&kept.address) {
            *count -= 1;
            if *count == 0 {
                self.of_one.remove(&kept.address);
            }
        }
    }
}

impl Kept {
    /// A request begins; it ends when what is given back is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { kept: Arc::clone(self), part: Part::Asked }
    }

    /// The number of the request that begins, counted from 0, and why it must be refused.
    pub(super) fn number(&self) -> Option<&'static str> {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        (number >= self.flaw.load(Ordering::Acquire))
            .then(|| *self.flaw_text.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the bytes that were just read turned out to be.
    pub(super) fn read(&self, finding: Finding, in_head: bool) {
        if let Finding::Flaw { request, why } = finding {
            *self.flaw_text.lock().unwrap_or_else(PoisonError::into_inner) = why;
            self.flaw.fetch_min(request, Ordering::Release);
        }
        if !in_head {
            if self.head.load(Ordering::Relaxed) != 0 {
                self.head.store(0, Ordering::Relaxed);
            }
        } else if self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.keeper.now(), Ordering::Relaxed);
        }
    }

    /// Whether the client took something of what was to be sent.
    pub(super) fn wrote(&self, taken: bool) {
        let since = self.stalled.load(Ordering::Relaxed);
        if taken && since != 0 {
            self.stalled.store(0, Ordering::Relaxed);
        } else if !taken && since == 0 {
            self.stalled.store(self.keeper.now(), Ordering::Relaxed);
        }
    }

    pub(super) fn close(&self) {
        if self.closing.load(Ordering::Relaxed) == 0 {
            self.closing.store(self.keeper.now(), Ordering::Relaxed);
        }
    }

    /// Resolves with every order that is stricter than the last.
    pub(super) async fn told(&self, last: Order) -> Order {
        loop {
            // Made before looking, so that nothing said in between is missed.
            let more = self.tell.notified();
            let order = match self.told.load(Ordering::Acquire) {
                0 => Order::Stay,
                1 => Order::Leave,
                _ => Order::Drop,
            };
            if order > last {
                return order;
            }
            more.await;
        }
    }

    fn tell(&self, order: Order) {
        if order != Order::Stay && self.told.fetch_max(order as u8, Ordering::AcqRel) < order as u8 {
            self.tell.notify_waiters();
        }
    }

    fn state(&self, now: Tick) -> State {
        let since = |at: &AtomicU64| match at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(now.saturating_sub(at)),
        };
        State {
            in_flight: self.in_flight.load(Ordering::Relaxed) > 0,
            has_served: self.served.load(Ordering::Relaxed) > 0,
            age: now.saturating_sub(self.accepted),
            inactive: now.saturating_sub(self.active.load(Ordering::Relaxed)),
            in_head: since(&self.head),
            stalled: since(&self.stalled),
            answering: since(&self.answering).filter(|_| self.answers.load(Ordering::Relaxed) > 0),
            closing: since(&self.closing),
        }
    }

    /// Forgets the connection; to be called when its task ends, however it ends.
    pub(super) fn forget(&self) {
        self.keeper.remove(self.id);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight {
    kept: Arc<Kept>,
    part: Part,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
enum Part {
    Asked,
    Answered,
    Streams,
}

impl InFlight {
    /// The answer begins; `endless` where it has no end of its own.
    pub(super) fn answer(&mut self, endless: bool) {
        let kept = &self.kept;
        if endless {
            kept.streams.fetch_add(1, Ordering::Relaxed);
            self.part = Part::Streams;
        } else {
            if kept.answers.fetch_add(1, Ordering::Relaxed) == 0 {
                kept.answering.store(kept.keeper.now(), Ordering::Relaxed);
            }
            self.part = Part::Answered;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let kept = &self.kept;
        let now = kept.keeper.now();
        match self.part {
            Part::Asked => {}
            Part::Answered => {
                kept.answering.store(now, Ordering::Relaxed);
                kept.answers.fetch_sub(1, Ordering::Relaxed);
            }
            Part::Streams => {
                kept.streams.fetch_sub(1, Ordering::Relaxed);
            }
        }
        kept.active.store(now, Ordering::Relaxed);
        kept.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a194_when_a_connection_has_to_go() {
        let fresh = State::default();
        let served = State { has_served: true, ..fresh };
        let busy = State { in_flight: true, has_served: true, inactive: 3_600_000, ..fresh };
        let table = [
            ("just accepted", fresh, Order::Stay),
            ("silent for 10 s", State { age: 10_000, inactive: 10_000, ..fresh }, Order::Stay),
            ("silent for longer", State { age: 10_001, inactive: 10_001, ..fresh }, Order::Drop),
            ("drips its first head", State { age: 10_001, in_head: Some(9_000), ..fresh }, Order::Drop),
            ("drips a later head", State { in_head: Some(10_001), ..served }, Order::Drop),
            ("reads a later head", State { in_head: Some(9_000), ..served }, Order::Stay),
            ("between requests", State { age: 3_600_000, inactive: 75_000, ..served }, Order::Stay),
            ("idle", State { inactive: 75_001, ..served }, Order::Leave),
            ("idle and deaf", State { inactive: 85_001, ..served }, Order::Drop),
            ("streams for an hour", busy, Order::Stay),
            ("takes nothing", State { stalled: Some(30_001), ..busy }, Order::Drop),
            ("takes little", State { stalled: Some(29_000), ..busy }, Order::Stay),
            ("reads slowly", State { answering: Some(120_000), ..busy }, Order::Stay),
            ("keeps an answer waiting", State { answering: Some(120_001), ..busy }, Order::Drop),
            ("goes on sending after the last answer", State { closing: Some(2_001), ..busy }, Order::Drop),
        ];
        for (case, state, order) in table {
            assert_eq!(decide(state), order, "{case}");
        }
    }

    #[test]
    fn a194_the_idle_make_room_and_the_busy_do_not() {
        let keeper = Keeper::new(3, vec![]);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let told = |kept: &Kept| kept.told.load(Ordering::Relaxed);
        let busy = keeper.admit(address).unwrap();
        let request = busy.begin();
        assert!(busy.number().is_none());
        let served = keeper.admit(address).unwrap();
        assert!(served.number().is_none());
        let silent = keeper.admit(address).unwrap();
        let a = keeper.admit(address).unwrap();
        assert_eq!((told(&busy), told(&served), told(&silent)), (0, 0, 2), "who never asked goes first");
        let b = keeper.admit(address).unwrap();
        assert_eq!((told(&served), told(&a)), (0, 2));
        let _request_b = b.begin();
        let _c = keeper.admit(address).unwrap();
        assert_eq!(told(&served), 2);
        drop(request);
        assert_eq!(keeper.count(), 3);
        for kept in [&busy, &served, &silent, &a, &b] {
            kept.forget();
        }
        assert_eq!(keeper.count(), 1, "those that made room were forgotten already");

        let one = Keeper::new(2, vec![]);
        let stream = one.admit(address).unwrap();
        let mut streaming = stream.begin();
        streaming.answer(true);
        let other = one.admit("192.0.2.9".parse().unwrap()).unwrap();
        let mut answering = other.begin();
        answering.answer(false);
        assert!(one.admit(address).is_some(), "who follows a stream can come back to it");
        assert_eq!((told(&stream), told(&other)), (2, 0));
        drop((streaming, answering));
        assert_eq!(stream.streams.load(Ordering::Relaxed) + other.answers.load(Ordering::Relaxed), 0);

        let fair = Keeper::new(4, vec![]);
        let first = fair.admit("192.0.2.9".parse().unwrap()).unwrap();
        let many: Vec<_> = (0..5).map(|_| fair.admit(address).unwrap()).collect();
        assert_eq!(told(&first), 0, "whoever has the most loses");
        assert_eq!(many.iter().filter(|c| told(c) == 2).count(), 2);

        let full = Keeper::new(1, vec![]);
        let only = full.admit(address).unwrap();
        let _busy = only.begin();
        assert!(full.admit(address).is_none(), "all are busy");
    }

    #[test]
    fn one_address_cannot_have_them_all_unless_it_is_a_proxy() {
        let keeper = Keeper::new(usize::MAX, vec!["10.0.0.0/8".parse().unwrap()]);
        let busy = |address: &str| {
            let kept = keeper.admit(address.parse().unwrap())?;
            Some((kept.begin(), kept))
        };
        let many: Vec<_> = (0..MOST_OF_ONE).map(|_| busy("192.0.2.1").unwrap()).collect();
        assert!(busy("192.0.2.1").is_none());
        assert!(busy("::ffff:192.0.2.1").is_none(), "the same, written otherwise");
        assert!(busy("192.0.2.2").is_some());
        let proxied: Vec<_> = (0..=MOST_OF_ONE).map(|_| busy("10.0.0.1")).collect();
        assert!(proxied.iter().all(Option::is_some));
        for (_, kept) in &many {
            kept.forget();
        }
        assert!(busy("192.0.2.1").is_some());
    }

    #[test]
    fn the_flawed_request_and_all_after_it_are_refused() {
        let kept = Keeper::new(9, vec![]).admit("192.0.2.1".parse().unwrap()).unwrap();
        kept.read(Finding::Flaw { request: 1, why: "two lengths" }, false);
        assert_eq!(
            [kept.number(), kept.number(), kept.number()],
            [None, Some("two lengths"), Some("two lengths")]
        );
    }
}
