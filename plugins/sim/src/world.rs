use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::arm::Arm;
use crate::dataplane::UnmanagedPod;
use crate::event::{Event, Recorded};
use crate::faults::Faults;
use crate::host::Hosts;
use crate::kube::Kube;
use crate::paused_requests::PausedRequests;
use crate::tailnet::Tailnet;
use crate::traffic::Traffic;

/// Everything that is true in the simulated world. One lock guards all of it; nothing awaits while holding it.
///
/// Each part keeps its state in a field of its own and in a type of its own module.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct World {
    /// What happened, in order: the stream under `/_world/events`.
    pub events: Vec<Recorded>,
    /// Azure Resource Manager: groups, resources and operations.
    pub arm: Arm,
    /// What was asked of the world: counters and the request log.
    pub traffic: Traffic,
    /// The faults that wait to happen.
    pub faults: Faults,
    /// The tailnet.
    pub tailnet: Tailnet,
    /// The simulated machines.
    pub hosts: Hosts,
    /// The Kubernetes cluster.
    pub kube: Kube,
    /// Pods that packets can come from and go to besides those of the cluster, as somebody said that they run: for a world without
    /// one.
    pub pods: Vec<UnmanagedPod>,
}

/// A shared way to the [`World`].
#[derive(Clone)]
pub struct Shared {
    world: Arc<Mutex<World>>,
    latest: watch::Sender<u64>,
    dirty: Arc<AtomicBool>,
    rescheduled: Arc<Notify>,
    paused_requests: Arc<PausedRequests>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("latest", &*self.latest.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Shares `world`.
    pub fn new(world: World) -> Self {
        let latest = watch::Sender::new(world.events.len() as u64);
        Self {
            world: Arc::new(Mutex::new(world)),
            latest,
            dirty: Arc::new(AtomicBool::new(true)),
            rescheduled: Arc::new(Notify::new()),
            paused_requests: Arc::new(PausedRequests::default()),
        }
    }

    /// Locks the world. Keep it short; never across an await.
    ///
    /// The world counts as changed afterwards and is written to its state file soon.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.dirty.store(true, Ordering::Release);
        self.peek()
    }

    /// Locks the world only to read it: it does not count as changed.
    pub fn peek(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the world as changed: it is written to its state file soon.
    pub(crate) fn touch(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Adds to the stream of events, under a lock that the caller holds, and wakes whoever follows it.
    pub fn emit(&self, world: &mut World, event: Event) {
        let seq = world.events.len() as u64 + 1;
        world.events.push(Recorded { seq, at: Timestamp::now(), event });
        self.dirty.store(true, Ordering::Release);
        self.latest.send_replace(seq);
    }

    /// Number of the latest event; changes whenever one is added.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The events after `seq`.
    pub fn events_after(&self, seq: u64) -> Vec<Recorded> {
        let world = self.peek();
        world.events.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX)).cloned().collect()
    }

    /// Requests that a fault keeps waiting.
    pub fn paused_requests(&self) -> &PausedRequests {
        &self.paused_requests
    }

    /// Completes what is due in the world's operations and tells the stream of events what became true.
    pub(crate) fn settle(&self) {
        let mut world = self.lock();
        crate::arm::settle(&mut world.arm, Timestamp::now());
        self.announce(&mut world);
    }

    /// Tells the stream of events what the resources say that it was not told yet.
    pub(crate) fn announce(&self, world: &mut World) {
        for event in crate::arm::unpublished_events(&mut world.arm) {
            self.emit(world, event);
        }
        self.rescheduled.notify_one();
    }

    /// Resolves when operations may have become due earlier than was known.
    pub(crate) async fn rescheduled(&self) {
        self.rescheduled.notified().await;
    }

    /// Whether the world changed since the last call.
    pub(crate) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }
}
