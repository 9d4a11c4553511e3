use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::middleware;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::host::{self, HostError, HostOptions, HostServer};
use crate::scenario::Scenario;
use crate::state::{self, StateError};
use crate::tls::{self, TlsError};
use crate::world::{Shared, World};
use crate::{arm, control, intercept, kube, listen, login, mirror, tailnet};

/// How to open a simulated world.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each switches one part of the world on or off")]
pub struct SimOptions {
    /// Directory of its own, for certificates and an `ssh_config`. Made if it does not exist.
    pub dir: PathBuf,
    /// Where the world is kept; read if it exists. In memory alone if `None`.
    pub state_file: Option<PathBuf>,
    /// Whether what changes is written to the state file; otherwise the file is only what the world begins with.
    pub keep: bool,
    /// Where HTTP is served; port 0 for any.
    pub http: SocketAddr,
    /// Where HTTPS is served; port 0 for any.
    pub https: SocketAddr,
    /// Decides identifiers and signatures of a new world.
    pub seed: u64,
    /// How many times faster than the real service: 1.0 takes the seconds that Azure takes.
    pub speed: f64,
    /// Whether machines boot and answer SSH.
    pub hosts: bool,
    /// Whether the Tailscale API is served.
    pub tailnet: bool,
    /// Whether the Kubernetes API is served, on a free port of loopback.
    pub kube: bool,
    /// Where the Kubernetes API is served; port 0 for any.
    pub kubernetes: SocketAddr,
    /// What a new world has in it.
    pub scenario: Scenario,
}

impl SimOptions {
    /// A world in `dir` on free ports of loopback, in memory, 50 times as fast as the real one, with all there is.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            dir: dir.into(),
            state_file: None,
            keep: true,
            http: any,
            https: any,
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

/// Why a world could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The directory could not be made.
    #[error("directory {path} of the simulated world")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An address could not be listened on.
    #[error("address {address} of the simulated world")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
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

/// An open world. Dropping it closes it, without the last write of its state file; [`Sim::shutdown`] does that too.
#[derive(Debug)]
pub struct Sim {
    shared: Shared,
    dir: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
    token: String,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    state_file: Option<PathBuf>,
    hosts: Option<HostServer>,
}

/// Opens a world and serves it.
///
/// It answers on both addresses once this returns.
pub async fn start(options: SimOptions) -> Result<Sim, SimError> {
    std::fs::create_dir_all(&options.dir)
        .map_err(|source| SimError::Directory { path: options.dir.clone(), source })?;
    let shared = Shared::new(open(&options)?);
    let tls = tls::configuration(&options.dir)?;
    let (plain, secure) = (listen_on(options.http).await?, listen_on(options.https).await?);
    let (http, https) = (address(&plain, options.http)?, address(&secure, options.https)?);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    if options.kube {
        serve_kubernetes(&shared, &options, &stop, &mut tasks).await?;
    }
    let router = router(&shared, &options, &stop);
    tasks.spawn(listen::serve(plain, router.clone(), None, stop.clone()));
    tasks.spawn(listen::serve(secure, router, Some(tls), stop.clone()));
    tasks.spawn(settle(shared.clone(), stop.clone()));
    let state_file = options.state_file.clone().filter(|_| options.keep);
    if let Some(path) = &state_file {
        tasks.spawn(state::keep(path.clone(), shared.clone(), stop.clone()));
    }
    if options.kube && options.hosts {
        tasks.spawn(run_kubelets(shared.clone(), stop.clone()));
    }
    shared.settle();
    let hosts = options.hosts.then(|| serve_hosts(&shared, &options)).transpose()?;
    let token = login::static_token(&shared.peek().arm);
    Ok(Sim { shared, dir: options.dir, http, https, token, stop, tasks, state_file, hosts })
}

/// Serves the Kubernetes API and writes the administrator's kubeconfig.
async fn serve_kubernetes(
    shared: &Shared,
    options: &SimOptions,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(), SimError> {
    let listener = listen_on(options.kubernetes).await?;
    let address = address(&listener, options.kubernetes)?;
    let url = format!("https://localhost:{}", address.port());
    let tls = tls::with_client_certificates(&options.dir)?;
    let config = {
        let mut world = shared.lock();
        kube::open(&mut world.kube, &url, tls::authority(&options.dir)?);
        world.arm.cluster = kube::admin_access(&world.kube);
        let name = Scenario::CLUSTER;
        world.arm.cluster.as_ref().map(|access| access.kubeconfig(name, &format!("clusterAdmin_{name}_{name}")))
    };
    let path = options.dir.join("kubeconfig");
    state::write_private(&path, config.unwrap_or_default().as_bytes())
        .map_err(|source| SimError::Directory { path, source })?;
    let router = kube::router(shared.clone(), stop.clone());
    tasks.spawn(listen::serve(listener, router, Some(tls), stop.clone()));
    Ok(())
}

fn serve_hosts(shared: &Shared, options: &SimOptions) -> Result<HostServer, HostError> {
    let how = HostOptions { dir: options.dir.clone(), speed: options.speed, seed: options.seed };
    host::serve(shared.clone(), how)
}

/// The world of the state file, or a new one.
fn open(options: &SimOptions) -> Result<World, SimError> {
    let stored = options.state_file.as_deref().map(state::load).transpose()?.flatten();
    let mut world = stored.unwrap_or_else(|| {
        let mut world = World::default();
        world.arm.seed = options.seed;
        options.scenario.populate(&mut world);
        world
    });
    world.arm.speed = options.speed;
    Ok(world)
}

async fn listen_on(address: SocketAddr) -> Result<TcpListener, SimError> {
    TcpListener::bind(address).await.map_err(|source| SimError::Listen { address, source })
}

fn address(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, SimError> {
    listener.local_addr().map_err(|source| SimError::Listen { address: asked, source })
}

fn router(shared: &Shared, options: &SimOptions, stop: &CancellationToken) -> Router {
    let mut watched = login::router(shared.clone());
    if options.tailnet {
        watched = watched.merge(tailnet::router(shared.clone()));
    }
    watched
        .fallback_service(axum::routing::any(arm::handle).with_state(shared.clone()))
        .layer(middleware::from_fn_with_state(shared.clone(), intercept::watch))
        .merge(mirror::router())
        .merge(control::router(shared.clone(), stop.clone()))
        .merge(kube::control(shared.clone()))
}

/// Lets the machines' kubelets act, which look around as often as this.
const KUBELETS: Duration = Duration::from_millis(50);

async fn run_kubelets(shared: Shared, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(KUBELETS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let changed = host::advance_kubelets(&mut shared.peek());
        if changed {
            shared.touch();
        }
    }
}

/// Completes operations when they are due, whether or not anybody asks.
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
    /// Where HTTP is served, without a slash at the end.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Where HTTPS is served, without a slash at the end; the name is in the certificate.
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    /// The certificate of the authority that HTTPS clients trust.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Where the Kubernetes API is served, if it is; the name is in the certificate.
    pub fn kube_url(&self) -> Option<String> {
        Some(self.shared.peek().kube.url.clone()).filter(|url| !url.is_empty())
    }

    /// The kubeconfig of the cluster's administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// An `ssh_config` that names every simulated host.
    pub fn ssh_config(&self) -> PathBuf {
        self.dir.join("ssh_config")
    }

    /// The simulated hosts, if they run.
    pub fn hosts(&self) -> Option<&HostServer> {
        self.hosts.as_ref()
    }

    /// A token for ARM that does not expire.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The subscription's id.
    pub fn subscription(&self) -> String {
        self.shared.peek().arm.subscription.clone()
    }

    /// The tenant's id.
    pub fn tenant(&self) -> String {
        self.shared.peek().arm.tenant.clone()
    }

    /// The world.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The directory that was given.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Resolves when the world is closing: after `POST /_world/shutdown`.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Closes the world. Its state file holds all of it once this returns.
    pub async fn shutdown(mut self) -> Result<(), SimError> {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        if let Some(path) = &self.state_file {
            state::save(path, &self.shared)?;
        }
        Ok(())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
