//! [`Feed`]: events on their way to a listener that must not hold anybody up.
//!
//! Whoever has something to say puts it into a bounded queue and goes on; a thread of the listener takes
//! it out. A full queue drops the newest and counts. What the listener wants is remembered here, because
//! asking may be dear (another language's interpreter); an event that is not wanted is not even formatted,
//! except the first few after a while, by which the listener finds out that it has changed its mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tracing::Level;

use super::event::Event;
use super::verbosity;
use crate::runtime::{PerProcess, generation};

const QUEUE: usize = 4096;
/// How many of them may be events that were not wanted when the listener was last asked.
const DOUBTFUL: usize = 1024;
/// How long an answer of the listener holds, in milliseconds: as long as nobody notices.
const TRUSTED: u64 = 100;
const POLL: Duration = Duration::from_millis(1);

/// The sending side, one for all processes; each has a queue of its own.
pub struct Feed {
    begun: Instant,
    /// The most verbose level that is wanted, as [`verbosity`] numbers it.
    wanted: AtomicU8,
    /// When that was last known, in milliseconds since `begun` and one more; 0 for never.
    asked: AtomicU64,
    trusted: u64,
    post: PerProcess<Post>,
    /// The process that has sent something, by its generation.
    used: AtomicU64,
}

struct Post {
    sender: SyncSender<Event>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Events in the queue or in the listener's hands.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

/// The listener's side. When it is dropped, later events of the process are lost without a word.
pub struct Inbox {
    receiver: Receiver<Event>,
    counts: Arc<Counts>,
}

impl Feed {
    pub(super) fn new(start: impl Fn(Inbox) + Send + Sync + 'static) -> Self {
        let post = PerProcess::new(move || {
            let (sender, receiver) = sync_channel(QUEUE);
            let counts = Arc::<Counts>::default();
            start(Inbox { receiver, counts: Arc::clone(&counts) });
            Post { sender, counts }
        });
        Self {
            begun: Instant::now(),
            wanted: AtomicU8::new(verbosity(Level::WARN)),
            asked: AtomicU64::new(0),
            trusted: TRUSTED,
            post,
            used: AtomicU64::new(0),
        }
    }

    /// The listener wants events of `level` and graver ones, or none.
    pub fn want(&self, level: Option<Level>) {
        self.wanted.store(level.map_or(0, verbosity), Ordering::Relaxed);
        self.asked.store(self.now(), Ordering::Relaxed);
    }

    /// The listener may have changed its mind: the next event is sent to it in any case.
    pub fn doubt(&self) {
        self.asked.store(0, Ordering::Relaxed);
    }

    /// Whether it is time to say anew what is wanted.
    pub fn is_doubtful(&self) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        asked == 0 || self.now().saturating_sub(asked) >= self.trusted
    }

    /// Waits until the listener has dealt with what this process has sent, for at most `patience`.
    pub fn settle(&self, patience: Duration) {
        if self.used.load(Ordering::Relaxed) != generation() {
            return;
        }
        let (post, started) = (self.post.get(), Instant::now());
        while post.counts.waiting.load(Ordering::Acquire) > 0 && started.elapsed() < patience {
            std::thread::sleep(POLL);
        }
    }

    pub(super) fn wants(&self, level: Level) -> bool {
        self.is_wanted(level) || self.is_doubtful()
    }

    /// Sends an event on its way, or drops it when too many are.
    pub(super) fn offer(&self, event: &tracing::Event<'_>) {
        let wanted = self.is_wanted(*event.metadata().level());
        let post = self.post.get();
        let counts = &post.counts;
        let room = if wanted { QUEUE } else { DOUBTFUL };
        // Before it is formatted: of a flood only what gets through costs anything.
        if counts.waiting.fetch_add(1, Ordering::AcqRel) >= room {
            counts.waiting.fetch_sub(1, Ordering::AcqRel);
            counts.dropped.fetch_add(u64::from(wanted), Ordering::Relaxed);
            return;
        }
        self.used.store(generation(), Ordering::Relaxed);
        // Only a listener that is gone refuses: there are no more in the queue than were counted.
        if post.sender.try_send(Event::new(event)).is_err() {
            counts.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn is_wanted(&self, level: Level) -> bool {
        verbosity(level) <= self.wanted.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis())
            .map_or(u64::MAX, |now| now.saturating_add(1))
    }
}

impl Inbox {
    /// The next events, at least one and at most `most`; waits for them. `None` when there will be none.
    #[must_use]
    pub fn take(&self, most: usize) -> Option<Vec<Event>> {
        let mut events = vec![self.receiver.recv().ok()?];
        events.extend(self.receiver.try_iter().take(most.saturating_sub(1)));
        Some(events)
    }

    /// One of the events taken has been dealt with.
    pub fn done(&self) {
        self.counts.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many were dropped since this was last asked.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    type Inboxes = Arc<Mutex<Vec<Inbox>>>;

    /// What the module's own layer does, for a feed of the test.
    struct To(Arc<Feed>);

    impl<S: tracing::Subscriber> Layer<S> for To {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if self.0.wants(*event.metadata().level()) {
                self.0.offer(event);
            }
        }
    }

    fn hear(work: impl FnOnce(&Feed)) -> Inboxes {
        let inboxes = Inboxes::default();
        let kept = Arc::clone(&inboxes);
        let keep = move |inbox| kept.lock().unwrap_or_else(PoisonError::into_inner).push(inbox);
        // However slow the machine: only where a test says so is it time to ask again.
        let feed = Arc::new(Feed { trusted: u64::MAX, ..Feed::new(keep) });
        let subscriber = tracing_subscriber::registry().with(To(Arc::clone(&feed)));
        tracing::subscriber::with_default(subscriber, || work(&feed));
        inboxes
    }

    fn messages(inboxes: &Inboxes) -> Vec<String> {
        let inboxes = inboxes.lock().unwrap();
        let taken = inboxes.iter().flat_map(|inbox| inbox.receiver.try_iter());
        taken.map(|event| event.text()).collect()
    }

    #[test]
    fn what_is_not_wanted_is_not_sent() {
        let heard = hear(|feed| {
            feed.want(Some(Level::INFO));
            tracing::info!(count = 1, "wanted");
            tracing::debug!("not wanted");
            feed.want(None);
            tracing::error!("not wanted either");
        });
        assert_eq!(messages(&heard), ["wanted count=1"]);
    }

    #[test]
    fn a_doubtful_answer_lets_a_few_through_and_never_crowds_out_the_wanted() {
        let heard = hear(|feed| {
            assert!(feed.is_doubtful());
            (0..QUEUE).for_each(|_| tracing::trace!("doubtful"));
            tracing::warn!("wanted");
            feed.want(Some(Level::WARN));
            tracing::trace!("not wanted");
            feed.doubt();
            assert!(feed.is_doubtful());
        });
        let messages = messages(&heard);
        assert_eq!(messages.len(), DOUBTFUL + 1);
        assert_eq!(messages.last().unwrap(), "wanted");
        assert_eq!(heard.lock().unwrap()[0].dropped(), 0);
    }

    #[test]
    fn a_full_queue_drops_the_newest_and_says_how_many() {
        let heard = hear(|feed| {
            feed.want(Some(Level::INFO));
            (0..QUEUE + 7).for_each(|number| tracing::info!(number, "event"));
            feed.settle(Duration::ZERO);
        });
        assert_eq!(heard.lock().unwrap()[0].dropped(), 7);
        assert_eq!(heard.lock().unwrap()[0].dropped(), 0);
        let messages = messages(&heard);
        assert_eq!(messages.len(), QUEUE);
        assert_eq!(messages.last().unwrap(), &format!("event number={}", QUEUE - 1));
    }

    #[test]
    fn a_listener_that_is_gone_is_not_missed() {
        let feed = Arc::new(Feed::new(drop));
        let subscriber = tracing_subscriber::registry().with(To(Arc::clone(&feed)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!("lost");
            feed.settle(Duration::from_secs(60));
        });
    }

    #[test]
    fn an_exit_waits_for_what_is_under_way() {
        let told = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&told);
        let feed = Arc::new(Feed::new(move |inbox: Inbox| {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || {
                while let Some(events) = inbox.take(3) {
                    for _ in events {
                        std::thread::sleep(Duration::from_millis(1));
                        counter.fetch_add(1, Ordering::SeqCst);
                        inbox.done();
                    }
                }
            });
        }));
        let subscriber = tracing_subscriber::registry().with(To(Arc::clone(&feed)));
        tracing::subscriber::with_default(subscriber, || {
            (0..10).for_each(|_| tracing::warn!("event"));
        });
        feed.settle(Duration::from_secs(60));
        assert_eq!(told.load(Ordering::SeqCst), 10);
    }
}
