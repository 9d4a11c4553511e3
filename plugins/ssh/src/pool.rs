use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use stargate_sdk::{ActionContext, ActionError};

use crate::{connection::Connection, host::Host, remote::Remote, settings::SshSettings, state_dir::StateDir};

/// One connection to each host, shared by all steps.
pub(crate) struct Pool {
    // Before the directory that holds their sockets: they are dropped in this order.
    connections: Mutex<HashMap<Host, Arc<Connection>>>,
    state: Mutex<Option<Arc<StateDir>>>,
    settings: SshSettings,
}

impl Pool {
    pub(crate) fn new(settings: SshSettings) -> Self {
        Self { connections: Mutex::default(), state: Mutex::default(), settings }
    }

    /// The way to `host` for one attempt. Connects at the first command, not here.
    pub(crate) fn remote<'a>(&self, cx: &'a ActionContext, host: &Host) -> Result<Remote<'a>, ActionError> {
        host.check()?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = connections.entry(host.clone()).or_insert_with(|| Arc::new(Connection::new(host.clone())));
        Ok(Remote::new(cx, Arc::clone(connection), self.state()?))
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
