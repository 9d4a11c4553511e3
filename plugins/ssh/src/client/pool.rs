use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use stargate_sdk::{ActionContext, ActionError};
use tokio::sync::Semaphore;

use super::{connection::SshConnection, remote::Remote, state_dir::StateDir};
use crate::{
    host::{JumpHost, SshHost},
    settings::SshSettings,
};

/// Maximum number of concurrent logins at one machine. sshd's `MaxStartups` is 10:30:100: above 10
/// it drops some at random.
const MAX_CONCURRENT_LOGINS: usize = 8;

/// One connection for each host, shared by all steps.
pub(crate) struct ConnectionPool {
    // Declared before the directory with their sockets, because fields are dropped in this order.
    connections: Mutex<HashMap<SshHost, Arc<SshConnection>>>,
    /// Permits by the machine of the first login: the jump host, or the host itself.
    logins: Mutex<HashMap<SshHost, Arc<Semaphore>>>,
    state: Mutex<Option<Arc<StateDir>>>,
    settings: SshSettings,
}

impl ConnectionPool {
    pub(crate) fn new(settings: SshSettings) -> Self {
        Self { connections: Mutex::default(), logins: Mutex::default(), state: Mutex::default(), settings }
    }

    /// Returns `host` for use by one attempt. The connection is opened by the first command.
    ///
    /// # Errors
    /// `Permanent` if the host's fields are malformed or the state directory cannot be used.
    pub(crate) fn remote<'a>(&self, cx: &'a ActionContext, host: &SshHost) -> Result<Remote<'a>, ActionError> {
        host.check()?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = connections
            .entry(host.clone())
            .or_insert_with(|| Arc::new(SshConnection::new(host.clone(), self.login_permits(host))));
        Ok(Remote::new(cx, Arc::clone(connection), self.state()?))
    }

    /// Permits for logins at the first machine on the path to `host`.
    fn login_permits(&self, host: &SshHost) -> Arc<Semaphore> {
        let first = host.via.as_ref().map_or_else(|| host.clone(), JumpHost::host);
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logins.entry(first).or_insert_with(|| Arc::new(Semaphore::new(MAX_CONCURRENT_LOGINS))))
    }

    /// The state directory, opened at first use, so that listing the actions does not access the
    /// disk.
    fn state(&self) -> Result<Arc<StateDir>, ActionError> {
        let mut slot = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = slot.as_ref() {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(StateDir::open(self.settings.clone())?);
        *slot = Some(Arc::clone(&state));
        Ok(state)
    }
}
