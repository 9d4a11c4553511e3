use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use stargate_sdk::{ActionContext, ActionError};
use tokio::sync::Semaphore;

use crate::{
    connection::Connection,
    host::{Host, Via},
    remote::Remote,
    settings::SshSettings,
    state_dir::StateDir,
};

/// sshd's `MaxStartups` is 10:30:100: of more than 10 logins that are under way, it drops some at random.
const LOGINS_AT_ONCE: usize = 8;

/// One connection to each host, shared by all steps.
pub(crate) struct Pool {
    // Before the directory that holds their sockets: they are dropped in this order.
    connections: Mutex<HashMap<Host, Arc<Connection>>>,
    /// By the machine that is logged in to first: itself, or the one on the way.
    logins: Mutex<HashMap<Host, Arc<Semaphore>>>,
    state: Mutex<Option<Arc<StateDir>>>,
    settings: SshSettings,
}

impl Pool {
    pub(crate) fn new(settings: SshSettings) -> Self {
        Self { connections: Mutex::default(), logins: Mutex::default(), state: Mutex::default(), settings }
    }

    /// The way to `host` for one attempt. Connects at the first command, not here.
    pub(crate) fn remote<'a>(&self, cx: &'a ActionContext, host: &Host) -> Result<Remote<'a>, ActionError> {
        host.check()?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = connections
            .entry(host.clone())
            .or_insert_with(|| Arc::new(Connection::new(host.clone(), self.logins_of(host))));
        Ok(Remote::new(cx, Arc::clone(connection), self.state()?))
    }

    fn logins_of(&self, host: &Host) -> Arc<Semaphore> {
        let first = host.via.as_ref().map_or_else(|| host.clone(), Via::host);
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logins.entry(first).or_insert_with(|| Arc::new(Semaphore::new(LOGINS_AT_ONCE))))
    }

    /// Opened at first use: whoever only wants to know which actions there are touches no disk.
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
