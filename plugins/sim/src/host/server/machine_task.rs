use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::boot::boot;
use super::connection::Connection;
use super::runtime::Runtime;
use crate::host::state::Phase;

/// Runs a machine through all its boots until it is deleted.
pub(super) async fn run(runtime: Runtime, name: String) {
    loop {
        let current = runtime.shared.lock().hosts.machines.get(&name).map(|machine| (machine.boots, machine.port));
        let Some((boots, port)) = current else { return };
        let socket = match reserve(port) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(machine = name, %error, "no port on loopback can be had");
                return;
            }
        };
        let port = socket.local_addr().map_or(0, |address| address.port());
        runtime.with(&name, boots, |machine, _| machine.port = port);
        runtime.notify();
        let life = async { tokio::join!(boot(&runtime, &name, boots), answer(&runtime, &name, boots, socket)) };
        let gone = runtime.until(|| runtime.with(&name, boots, |_, _| ()).is_none());
        tokio::select! {
            _ = life => return,
            () = gone => {}
        }
    }
}

/// Reserves a port without listening on it.
///
/// A client is refused, as by a machine without sshd. If the port is in use, another one is taken.
fn reserve(port: u16) -> std::io::Result<TcpSocket> {
    let bind = |port: u16| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(socket)
    };
    bind(port).or_else(|_: std::io::Error| bind(0))
}

/// Answers SSH as soon as sshd is up. If listening fails, it logs the error and never returns.
async fn answer(runtime: &Runtime, name: &str, boots: u64, socket: TcpSocket) {
    let listening =
        |machine: &mut crate::host::Machine, _: &mut crate::tailnet::Tailnet| machine.phase >= Phase::Listening;
    runtime.until(|| runtime.with(name, boots, listening).unwrap_or(true)).await;
    let listener = match socket.listen(128) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(machine = name, %error, "sshd cannot listen");
            return std::future::pending().await;
        }
    };
    accept(runtime, name, boots, &listener).await;
}

/// Accepts connections until the machine's boot ends.
///
/// They are dropped together with this future.
async fn accept(runtime: &Runtime, name: &str, boots: u64, listener: &TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(runtime.clone(), name.to_owned(), boots, stream))),
                Err(error) => tracing::warn!(machine = name, %error, "a connection could not be accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one SSH connection with the machine's host key.
async fn converse(runtime: Runtime, name: String, boots: u64, stream: TcpStream) {
    let key = runtime.with(&name, boots, |machine, _| machine.files.text(crate::host::cloud_init::HOST_KEY)).flatten();
    let Some(Ok(key)) = key.map(PrivateKey::from_openssh) else {
        tracing::warn!(machine = name, "sshd: no hostkeys available");
        return;
    };
    // sshd disables Nagle's algorithm for commands. russh applies its own setting only to sockets
    // that it accepts itself. Without it each command waits 40 ms for delayed acknowledgements.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(machine = name, %error, "a connection will be slow");
    }
    let config = Arc::new(config(key));
    let connection = Connection::new(runtime, name.clone(), boots);
    let outcome = match russh::server::run_stream(config, stream, connection).await {
        Ok(session) => session.await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(machine = name, %error, "an SSH connection broke");
    }
}

/// Returns the server configuration: public keys only, no inactivity timeout.
fn config(key: PrivateKey) -> russh::server::Config {
    russh::server::Config {
        server_id: russh::SshId::Standard("SSH-2.0-OpenSSH_10.0p2 Debian-7".into()),
        methods: [russh::MethodKind::PublicKey].as_slice().into(),
        auth_rejection_time: Duration::ZERO,
        inactivity_timeout: None,
        keys: vec![key],
        ..russh::server::Config::default()
    }
}
