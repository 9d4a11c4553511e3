use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::arm::Arm;
use crate::dataplane::UnmanagedPod;
use crate::event::{Event, NumberedEvent};
use crate::faults::Faults;
use crate::host::Hosts;
use crate::kube::Kube;
use crate::paused_requests::PausedRequests;
use crate::saves::{Saves, Unsaved};
use crate::tailnet::Tailnet;
use crate::traffic::Traffic;

/// State of the simulated world. One lock guards all of it; nothing awaits while it is held.
///
/// Each part keeps its state in a field of its own, in a type of its own module.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct World {
    /// Events in order: the stream under `/_world/events`.
    pub events: Vec<NumberedEvent>,
    /// Azure Resource Manager: groups, resources and operations.
    pub arm: Arm,
    /// Requests to the world: counters and the log.
    pub traffic: Traffic,
    /// Rules and schedule of faults.
    pub faults: Faults,
    /// State of the tailnet.
    pub tailnet: Tailnet,
    /// The simulated machines.
    pub hosts: Hosts,
    /// The Kubernetes cluster.
    pub kube: Kube,
    /// Pods outside the cluster that packets can come from and go to: for a world without a
    /// cluster.
    pub pods: Vec<UnmanagedPod>,
    /// Ports of the last start.
    pub ports: Ports,
}

/// Ports that a world listened on. It reopens on them, because clients and machines remember them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ports {
    /// Port for HTTP; 0 before the first start.
    pub http: u16,
    /// Port for HTTPS.
    pub https: u16,
    /// Port of the Kubernetes API.
    pub kubernetes: u16,
}

impl World {
    /// Counts a change of a machine by a command, in the machines' counters and in the traffic.
    pub fn count_host_write(&mut self, host: &str, what: &str) {
        let counters = self.hosts.writes.entry(host.to_owned()).or_default();
        *counters.entry(what.to_owned()).or_default() += 1;
        self.traffic.record_host_write(host, what);
    }
}

/// Shared handle of the [`World`].
#[derive(Clone)]
pub struct Shared {
    world: Arc<Mutex<World>>,
    latest: watch::Sender<u64>,
    saves: Arc<Saves>,
    rescheduled: Arc<Notify>,
    paused_requests: Arc<PausedRequests>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("latest", &*self.latest.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Returns a handle of `world`.
    pub fn new(world: World) -> Self {
        let latest = watch::Sender::new(world.events.len() as u64);
        Self {
            world: Arc::new(Mutex::new(world)),
            latest,
            saves: Arc::new(Saves::default()),
            rescheduled: Arc::new(Notify::new()),
            paused_requests: Arc::new(PausedRequests::default()),
        }
    }

    /// Locks the world for a change. Keep the lock briefly, never across an await.
    ///
    /// The world counts as changed afterwards and is written to its state file soon.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        let world = self.peek();
        // Counted under the lock: the state is only read under it, too, so no change is missed.
        self.saves.count_change();
        world
    }

    /// Locks the world only to read it: it does not count as changed.
    pub fn peek(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the world as changed: it is written to its state file soon.
    pub(crate) fn touch(&self) {
        self.saves.count_change();
    }

    /// Returns what is known of the state file and its writes.
    pub(crate) fn saves(&self) -> &Saves {
        &self.saves
    }

    /// Resolves when the state file contains every change so far: the end of the process loses none
    /// of them then. Resolves at once for a world without a state file.
    ///
    /// # Errors
    /// The state file could not be written.
    pub(crate) async fn saved(&self) -> Result<(), Unsaved> {
        self.saves.saved().await
    }

    /// Appends to the stream of events, under a lock that the caller holds, and wakes its
    /// followers.
    pub fn emit(&self, world: &mut World, event: Event) {
        let seq = world.events.len() as u64 + 1;
        world.events.push(NumberedEvent { seq, at: Timestamp::now(), event });
        self.saves.count_change();
        self.latest.send_replace(seq);
    }

    /// Returns the number of the latest event; it changes with every event.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Returns the events after `seq`.
    pub fn events_after(&self, seq: u64) -> Vec<NumberedEvent> {
        let world = self.peek();
        world.events.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX)).cloned().collect()
    }

    /// Returns the requests that a fault has paused.
    pub fn paused_requests(&self) -> &PausedRequests {
        &self.paused_requests
    }

    /// Finishes the operations that are due and publishes what changed.
    pub(crate) fn settle(&self) {
        let mut world = self.lock();
        crate::arm::settle(&mut world.arm, Timestamp::now());
        self.announce(&mut world);
    }

    /// Publishes the changes of resources that the stream of events does not have yet.
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
}
