use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use stargate_kubernetes_client::{
    CLUSTER_TARGET, KubeClient, KubeError, KubeRequest, LEASES, ObjectName,
    json::{name, uid},
    permission,
};
use stargate_sdk::{ActionContext, ActionError, FailureKind, LockAttempt, LockService, Permission, RemoteLockRequest};

use super::{
    election::{LeaseClaim, LeaseHolder, decide},
    lease_object::{self, LEASE_NAMESPACE},
    observations::Observations,
};

/// Beginnings of the names of locks about objects of the cluster.
const PREFIXES: [&str; 2] = ["cluster/", "worker/"];
/// Number of times that a write is repeated because another client changed the lease meanwhile.
const MAX_CONFLICTS: u32 = 5;

/// Locks of runs as leases of the cluster.
///
/// Each write is guarded by the version of the lease that it replaces, so that two runs never hold
/// it.
pub(crate) struct LeaseLocks {
    client: Arc<KubeClient>,
    observations: Observations,
    /// Leases as this process has written them, by name.
    held: Mutex<HashMap<String, Value>>,
}

impl LockService for LeaseLocks {
    fn target(&self) -> &'static str {
        CLUSTER_TARGET
    }

    fn covers(&self, lock: &str) -> bool {
        PREFIXES.iter().any(|prefix| lock.starts_with(prefix))
    }

    fn object(&self, lock: &str) -> String {
        format!("lease {LEASE_NAMESPACE}/{}", lease_object::name_of(lock))
    }

    fn permissions(&self) -> &'static [Permission] {
        const {
            &[
                permission("get leases.coordination.k8s.io -n kube-system"),
                permission("create leases.coordination.k8s.io -n kube-system"),
                permission("update leases.coordination.k8s.io -n kube-system"),
            ]
        }
    }

    fn take<'a>(
        &'a self,
        cx: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<LockAttempt, ActionError>> {
        Box::pin(async move {
            for _ in 0..MAX_CONFLICTS {
                let lease = match self.read(cx, request).await {
                    Ok(lease) => lease,
                    Err(error) => return unavailable(error).map_err(|error| in_lease(request, error)),
                };
                let attempt = self.claim(cx, request, lease).await.map_err(|error| in_lease(request, error))?;
                if let Some(attempt) = attempt {
                    return Ok(attempt);
                }
            }
            Err(in_lease(request, ActionError::transient("other clients change it all the time")))
        })
    }

    fn renew<'a>(
        &'a self,
        cx: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<LockAttempt, ActionError>> {
        Box::pin(async move {
            let held = self.held().get(&lease_object::name_of(&request.lock)).cloned();
            if let Some(mut lease) = held {
                lease_object::renew(&mut lease, Timestamp::now());
                match self.write(cx, request, lease).await {
                    Ok(true) => return Ok(LockAttempt::Taken),
                    Ok(false) => {} // another client has changed it: perhaps not the holder
                    Err(error) => return Err(in_lease(request, error)),
                }
            }
            self.renew_changed(cx, request).await.map_err(|error| in_lease(request, error))
        })
    }

    fn release<'a>(
        &'a self,
        cx: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<(), ActionError>> {
        Box::pin(async move {
            for _ in 0..MAX_CONFLICTS {
                let read = self.read(cx, request).await.map_err(|error| in_lease(request, error.into()))?;
                let own = read.filter(|lease| is_held_by(lease, request));
                let Some(mut lease) = own else { break };
                if lease_object::is_deleted_on_release(&lease) {
                    self.delete(cx, &lease).await.map_err(|error| in_lease(request, error))?;
                    break;
                }
                lease_object::release(&mut lease, Timestamp::now());
                if self.write(cx, request, lease).await.map_err(|error| in_lease(request, error))? {
                    break;
                }
            }
            self.held().remove(&lease_object::name_of(&request.lock));
            Ok(())
        })
    }
}

impl LeaseLocks {
    pub(crate) fn new(client: Arc<KubeClient>) -> Self {
        Self { client, observations: Observations::default(), held: Mutex::default() }
    }

    /// Takes a lease that was read, if the run may. `None`: another client has changed it since.
    async fn claim(
        &self,
        cx: &ActionContext,
        request: &RemoteLockRequest,
        lease: Option<Value>,
    ) -> Result<Option<LockAttempt>, ActionError> {
        let now = Timestamp::now();
        let Some(mut lease) = lease else {
            let created = self.client.create(cx, &LEASES, Some(LEASE_NAMESPACE), lease_object::new(request, now)).await;
            return match created {
                Ok(created) => Ok(Some(self.taken(request, created))),
                Err(error) if error.already_exists() => Ok(None),
                Err(error) => Err(error.into()),
            };
        };
        let (name, holder) = (lease_object::name_of(&request.lock), lease_object::holder(&lease));
        let unchanged = self.observations.unchanged_for(&name, &lease, Instant::now());
        let duration = lease_object::duration(&lease, request.duration);
        match (decide(request, holder.as_ref(), unchanged, duration), holder) {
            (LeaseClaim::Held, Some(holder)) => {
                let holder = lease_object::remote_holder(&lease, &holder, duration, now);
                return Ok(Some(LockAttempt::Held(Box::new(holder))));
            }
            (LeaseClaim::Own, _) => lease_object::renew(&mut lease, now),
            _ => lease_object::take(&mut lease, request, now),
        }
        Ok(self.write(cx, request, lease).await?.then_some(LockAttempt::Taken))
    }

    /// Renews a lease that another client has changed, or that this process has not written yet.
    async fn renew_changed(&self, cx: &ActionContext, request: &RemoteLockRequest) -> Result<LockAttempt, ActionError> {
        for _ in 0..MAX_CONFLICTS {
            let Some(mut lease) = self.read(cx, request).await? else { return Ok(lost(request, None)) };
            if !is_held_by(&lease, request) {
                return Ok(lost(request, Some(&lease)));
            }
            lease_object::renew(&mut lease, Timestamp::now());
            if self.write(cx, request, lease).await? {
                return Ok(LockAttempt::Taken);
            }
        }
        Err(ActionError::transient("other clients change it all the time"))
    }

    async fn read(&self, cx: &ActionContext, request: &RemoteLockRequest) -> Result<Option<Value>, KubeError> {
        let name = lease_object::name_of(&request.lock);
        let path = LEASES.object_path(ObjectName::namespaced(LEASE_NAMESPACE, &name)?, None);
        match self.client.call(cx, KubeRequest::read(path)).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if error.is_not_found() && !error.is_unserved_kind() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the lease. Returns false if it has changed since it was read.
    async fn write(&self, cx: &ActionContext, request: &RemoteLockRequest, lease: Value) -> Result<bool, ActionError> {
        let name = lease_object::name_of(&request.lock);
        match self.client.replace(cx, &LEASES, ObjectName::namespaced(LEASE_NAMESPACE, &name)?, None, lease).await {
            Ok(written) => {
                self.taken(request, written);
                Ok(true)
            }
            Err(error) if error.is_stale() || error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a lease that the run holds.
    async fn delete(&self, cx: &ActionContext, lease: &Value) -> Result<(), ActionError> {
        let object = ObjectName::namespaced(LEASE_NAMESPACE, name(lease))?;
        self.client.delete(cx, &LEASES, object, uid(lease), Value::Null).await.map(drop)
    }

    fn taken(&self, request: &RemoteLockRequest, lease: Value) -> LockAttempt {
        self.held().insert(lease_object::name_of(&request.lock), lease);
        LockAttempt::Taken
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if a run holds the lock and has renewed it recently, as far as the clocks agree.
///
/// # Errors
/// As for [`KubeClient::get`].
pub(crate) async fn is_lock_held(client: &KubeClient, cx: &ActionContext, lock: &str) -> Result<bool, ActionError> {
    let name = lease_object::name_of(lock);
    let lease = client.get(cx, &LEASES, ObjectName::namespaced(LEASE_NAMESPACE, &name)?).await?;
    let held = lease.filter(|lease| lease_object::holder(lease).is_some());
    Ok(held.is_some_and(|lease| {
        lease_object::is_recent(&lease, lease_object::duration(&lease, Duration::ZERO), Timestamp::now())
    }))
}

fn is_held_by(lease: &Value, request: &RemoteLockRequest) -> bool {
    lease_object::holder(lease) == Some(LeaseHolder::of(request))
}

/// The lock is unavailable if no server answered or if the server has no leases.
fn unavailable(error: KubeError) -> Result<LockAttempt, ActionError> {
    let has_no_answer = error.code.is_none() && error.error.kind != FailureKind::Unknown;
    if has_no_answer || error.is_unserved_kind() {
        return Ok(LockAttempt::Unavailable(error.error.to_string()));
    }
    Err(error.into())
}

/// The run has lost the lock, to the holder in `lease` if there is one.
fn lost(request: &RemoteLockRequest, lease: Option<&Value>) -> LockAttempt {
    let released = LeaseHolder { owner: "a process that has released it".into(), run: String::new(), epoch: 0 };
    let holder = lease.and_then(lease_object::holder).unwrap_or(released);
    let lease = lease.unwrap_or(&Value::Null);
    let holder = lease_object::remote_holder(lease, &holder, request.duration, Timestamp::now());
    LockAttempt::Held(Box::new(holder))
}

/// Adds the lock and its lease to an error.
fn in_lease(request: &RemoteLockRequest, error: ActionError) -> ActionError {
    let name = lease_object::name_of(&request.lock);
    error.context(format_args!("lock {:?}, lease {LEASE_NAMESPACE}/{name}", request.lock))
}
