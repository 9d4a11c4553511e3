use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::callers::{self, AllowedNames};
use crate::host::{self, HostError, HostOptions, HostServer};
use crate::scenario::Scenario;
use crate::state::{self, StateError};
use crate::tls::{self, TlsError};
use crate::world::{Ports, Shared, World};
use crate::{arm, control, intercept, kube, listen, login, mirror, tailnet};

/// Options of a simulated world.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each switches one part of the world on or off")]
pub struct SimOptions {
    /// Folder for certificates and an `ssh_config`. Created if it does not exist.
    pub dir: PathBuf,
    /// State file of the world, read if it exists. `None` keeps the world in memory only.
    pub state_file: Option<PathBuf>,
    /// True if changes are written to the state file; otherwise the file is only read.
    pub keep: bool,
    /// Address for HTTP; port 0 for the one in a state file that is kept, or any.
    pub http: SocketAddr,
    /// Address for HTTPS; port 0 as for HTTP.
    pub https: SocketAddr,
    /// Host names by which clients address the world, besides those of loopback and the addresses
    /// that it listens on.
    pub allow_hosts: Vec<String>,
    /// Seed of identifiers and signatures of a new world.
    pub seed: u64,
    /// Factor by which operations are faster than in the real service; 1.0 for its durations.
    pub speed: f64,
    /// True if machines boot and answer SSH.
    pub hosts: bool,
    /// True if the Tailscale API is served.
    pub tailnet: bool,
    /// True if the Kubernetes API is served.
    pub kube: bool,
    /// Address of the Kubernetes API; port 0 as for HTTP.
    pub kubernetes: SocketAddr,
    /// Content of a new world.
    pub scenario: Scenario,
}

impl SimOptions {
    /// Returns the options of a world in `dir` on free ports of loopback, in memory, 50 times as
    /// fast as the real one, with all parts.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            dir: dir.into(),
            state_file: None,
            keep: true,
            http: any,
            https: any,
            allow_hosts: Vec::new(),
            seed: 0,
            speed: 50.0,
            hosts: true,
            tailnet: true,
            kube: true,
            kubernetes: any,
            scenario: Scenario::default(),
        }
    }
}

/// Error at opening or closing a world.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The folder could not be created.
    #[error("directory {path} of the simulated world")]
    Directory {
        /// Path of the folder.
        path: PathBuf,
        /// Cause of the error.
        source: io::Error,
    },
    /// An address could not be listened on.
    #[error("address {address} of the simulated world")]
    Listen {
        /// Address that was requested.
        address: SocketAddr,
        /// Cause of the error.
        source: io::Error,
    },
    /// The certificates could not be made or read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The state file could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The simulated hosts could not be started.
    #[error(transparent)]
    Hosts(#[from] HostError),
}

/// Open world. Dropping it closes it without the last write of its state file; [`Sim::shutdown`]
/// writes it.
#[derive(Debug)]
pub struct Sim {
    shared: Shared,
    dir: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
    token: String,
    control_token: Arc<str>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    state_file: Option<PathBuf>,
    hosts: Option<HostServer>,
}

/// Opens a world and serves it. It answers on all addresses once this returns.
///
/// # Errors
/// The folder, an address, a certificate, the state file or the hosts failed; nothing is served
/// then.
pub async fn start(options: SimOptions) -> Result<Sim, SimError> {
    std::fs::create_dir_all(&options.dir)
        .map_err(|source| SimError::Directory { path: options.dir.clone(), source })?;
    let shared = Shared::new(open(&options)?);
    let tls = tls::configuration(&options.dir)?;
    let ports = if options.keep { shared.peek().ports } else { Ports::default() };
    let (plain, secure) = (reopen(options.http, ports.http).await?, reopen(options.https, ports.https).await?);
    let (http, https) = (address(&plain, options.http)?, address(&secure, options.https)?);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let state_file = options.state_file.clone().filter(|_| options.keep);
    if state_file.is_some() {
        shared.saves().open_file();
    }
    if options.kube {
        serve_kubernetes(&shared, &options, &stop, &mut tasks).await?;
    }
    let kubernetes = shared.peek().ports.kubernetes;
    shared.lock().ports = Ports { http: http.port(), https: https.port(), kubernetes };
    let control_token = callers::control_token(&options.dir).map_err(|source| unwritten(&options, source))?;
    let router = router(&shared, &options, &control_token, &stop);
    let names = AllowedNames::new(&options.allow_hosts);
    tasks.spawn(listen::serve(plain, router.clone(), names.clone(), None, stop.clone()));
    tasks.spawn(listen::serve(secure, router, names, Some(tls), stop.clone()));
    tasks.spawn(settle(shared.clone(), stop.clone()));
    if let Some(path) = &state_file {
        tasks.spawn(state::keep(path.clone(), shared.clone(), stop.clone()));
    }
    if options.kube && options.hosts {
        tasks.spawn(run_kubelets(shared.clone(), stop.clone()));
    }
    shared.settle();
    let hosts = options.hosts.then(|| serve_hosts(&shared, &options)).transpose()?;
    let token = login::static_token(&shared.peek().arm);
    Ok(Sim { shared, dir: options.dir, http, https, token, control_token, stop, tasks, state_file, hosts })
}

fn unwritten(options: &SimOptions, source: io::Error) -> SimError {
    SimError::Directory { path: options.dir.join(callers::CONTROL_TOKEN_FILE), source }
}

/// Serves the Kubernetes API and writes the administrator's kubeconfig.
async fn serve_kubernetes(
    shared: &Shared,
    options: &SimOptions,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(), SimError> {
    let port = if options.keep { shared.peek().ports.kubernetes } else { 0 };
    let listener = reopen(options.kubernetes, port).await?;
    let address = address(&listener, options.kubernetes)?;
    let url = format!("https://localhost:{}", address.port());
    let tls = tls::with_client_certificates(&options.dir)?;
    let config = {
        let mut world = shared.lock();
        world.ports.kubernetes = address.port();
        kube::open(&mut world.kube, &url, tls::authority(&options.dir)?);
        world.arm.cluster = kube::admin_access(&world.kube);
        let name = Scenario::CLUSTER;
        world.arm.cluster.as_ref().map(|access| access.kubeconfig(name, &format!("clusterAdmin_{name}_{name}")))
    };
    let path = options.dir.join("kubeconfig");
    state::write_private(&path, config.unwrap_or_default().as_bytes())
        .map_err(|source| SimError::Directory { path, source })?;
    let router = kube::router(shared.clone(), stop.clone())
        .layer(middleware::from_fn_with_state(shared.clone(), state::answer_when_saved));
    let names = AllowedNames::new(&options.allow_hosts);
    tasks.spawn(listen::serve(listener, router, names, Some(tls), stop.clone()));
    Ok(())
}

fn serve_hosts(shared: &Shared, options: &SimOptions) -> Result<HostServer, HostError> {
    let how = HostOptions { dir: options.dir.clone(), speed: options.speed, seed: options.seed };
    host::serve(shared.clone(), how)
}

/// Returns the world of the state file, or a new one.
fn open(options: &SimOptions) -> Result<World, SimError> {
    let stored = options.state_file.as_deref().map(state::load).transpose()?.flatten();
    let mut world = stored.unwrap_or_else(|| {
        let mut world = World::default();
        world.arm.seed = options.seed;
        identify(&mut world);
        options.scenario.populate(&mut world);
        world
    });
    world.arm.speed = options.speed;
    Ok(world)
}

/// Gives a new world a tenant and a tailnet that no other world has.
fn identify(world: &mut World) {
    world.arm.tenant = arm::uuid(&rand::random::<[u8; 16]>());
    world.tailnet.dns_suffix = format!("tail{:05x}.ts.net", rand::random::<u32>() >> 12);
}

/// Listens on an address; on the port of the last start if the address names none and the port is
/// free.
async fn reopen(address: SocketAddr, last: u16) -> Result<TcpListener, SimError> {
    if address.port() == 0 && last != 0 {
        let remembered = TcpListener::bind(SocketAddr::new(address.ip(), last)).await;
        if let Ok(listener) = remembered {
            return Ok(listener);
        }
    }
    listen_on(address).await
}

async fn listen_on(address: SocketAddr) -> Result<TcpListener, SimError> {
    TcpListener::bind(address).await.map_err(|source| SimError::Listen { address, source })
}

fn address(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, SimError> {
    listener.local_addr().map_err(|source| SimError::Listen { address: asked, source })
}

fn router(shared: &Shared, options: &SimOptions, token: &Arc<str>, stop: &CancellationToken) -> Router {
    let guard = middleware::from_fn_with_state(token.clone(), callers::require_control_token);
    let control = control::router(shared.clone(), stop.clone()).merge(kube::control(shared.clone()));
    let mut watched = login::router(shared.clone());
    if options.tailnet {
        watched = watched.merge(tailnet::router(shared.clone()));
    }
    watched
        .fallback_service(axum::routing::any(arm::handle).with_state(shared.clone()))
        .layer(middleware::from_fn_with_state(shared.clone(), intercept::watch))
        .merge(mirror::router())
        .merge(control.layer(guard.clone()))
        .layer(middleware::from_fn_with_state(shared.clone(), state::answer_when_saved))
        .merge(control::shutdown_router(stop.clone()).layer(guard))
}

/// Interval between rounds of the machines' kubelets, and of the controllers of jobs.
const KUBELETS: Duration = Duration::from_millis(50);

async fn run_kubelets(shared: Shared, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(KUBELETS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let kubelets_changed = host::advance_kubelets(&mut shared.peek());
        let jobs_changed = kube::advance_jobs(&mut shared.peek().kube);
        if kubelets_changed || jobs_changed {
            shared.touch();
        }
    }
}

/// Finishes operations when they are due, independently of requests.
async fn settle(shared: Shared, stop: CancellationToken) {
    loop {
        let due = arm::next_due(&shared.peek().arm);
        let wait = due.map(|due| due.duration_since(Timestamp::now()));
        let sleep = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait.try_into().unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.rescheduled() => {}
            () = sleep => shared.settle(),
        }
    }
}

impl Sim {
    /// Returns the URL for HTTP, without a slash at the end.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Returns the URL for HTTPS, without a slash at the end; its host name is in the certificate.
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    /// Returns the file with the certificate of the authority that HTTPS clients must trust.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Returns the URL of the Kubernetes API, if it is served; its host name is in the certificate.
    pub fn kube_url(&self) -> Option<String> {
        Some(self.shared.peek().kube.url.clone()).filter(|url| !url.is_empty())
    }

    /// Returns the kubeconfig of the cluster's administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Returns an `ssh_config` with every simulated host.
    pub fn ssh_config(&self) -> PathBuf {
        self.dir.join("ssh_config")
    }

    /// Returns the simulated hosts, if they run.
    pub fn hosts(&self) -> Option<&HostServer> {
        self.hosts.as_ref()
    }

    /// Returns a token for ARM that does not expire.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the token of the control API. The file `control-token` in the folder has it, too.
    pub fn control_token(&self) -> &str {
        &self.control_token
    }

    /// Returns the addresses beyond loopback that the world listens on.
    pub fn exposed(&self) -> Vec<SocketAddr> {
        [self.http, self.https].into_iter().filter(|address| !address.ip().to_canonical().is_loopback()).collect()
    }

    /// Returns the id of the subscription.
    pub fn subscription(&self) -> String {
        self.shared.peek().arm.subscription.clone()
    }

    /// Returns the id of the tenant.
    pub fn tenant(&self) -> String {
        self.shared.peek().arm.tenant.clone()
    }

    /// Returns the handle of the world.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns the folder of the world.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Resolves when the world is closing: after `POST /_world/shutdown`.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Closes the world. Its state file holds all of it once this returns.
    ///
    /// # Errors
    /// The state file could not be written.
    pub async fn shutdown(mut self) -> Result<(), SimError> {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        if let Some(path) = &self.state_file {
            state::save_at_end(path, &self.shared)?;
        }
        Ok(())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
