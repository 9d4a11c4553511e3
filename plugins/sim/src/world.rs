use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::event::{Event, Recorded};
use crate::{host, tailnet};

/// Everything that is true in the simulated world. One lock guards all of it; nothing awaits while holding it.
///
/// Each part keeps its state in a field of its own and in a type of its own module.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct World {
    /// What happened, in order: the stream under `/_world/events`.
    pub events: Vec<Recorded>,
    /// Tailscale's service.
    pub tailnet: tailnet::Tailnet,
    /// The simulated machines.
    pub hosts: host::Hosts,
}

/// A shared way to the [`World`].
#[derive(Clone)]
pub struct Shared {
    world: Arc<Mutex<World>>,
    latest: watch::Sender<u64>,
}

impl Shared {
    /// Shares `world`.
    pub fn new(world: World) -> Self {
        let latest = watch::Sender::new(world.events.len() as u64);
        Self { world: Arc::new(Mutex::new(world)), latest }
    }

    /// Locks the world. Keep it short; never across an await.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the stream of events, under a lock that the caller holds, and wakes whoever follows it.
    pub fn emit(&self, world: &mut World, event: Event) {
        let seq = world.events.len() as u64 + 1;
        world.events.push(Recorded { seq, at: Timestamp::now(), event });
        self.latest.send_replace(seq);
    }

    /// Number of the latest event; changes whenever one is added.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The events after `seq`.
    pub fn events_after(&self, seq: u64) -> Vec<Recorded> {
        let world = self.lock();
        world.events.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX)).cloned().collect()
    }
}
