use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::runtime::Runtime;
use super::session::{converse, execute, login};
use super::terminal::Terminal;
use crate::host::io::{Io, Sink, Source, Stream};
use crate::host::process::{Exit, Process};

/// Only port on which a simulated machine accepts connections.
const SSH_PORT: u32 = 22;

/// SSH connection of one client to a machine.
pub(super) struct Connection {
    runtime: Runtime,
    host: String,
    boot: u64,
    user: String,
    channels: HashMap<ChannelId, SessionChannel>,
}

/// Session channel on the connection.
#[derive(Default)]
struct SessionChannel {
    environment: BTreeMap<String, String>,
    terminal: Option<Terminal>,
    input: Option<mpsc::UnboundedSender<Vec<u8>>>,
}

/// Program that is about to start, with its environment, its streams and its output channel.
struct Started {
    process: Process,
    io: Io,
    output: mpsc::UnboundedReceiver<(Stream, Vec<u8>)>,
}

impl Connection {
    /// Returns the state of a new connection to the machine in its current boot.
    pub(super) fn new(runtime: Runtime, host: String, boot: u64) -> Self {
        Self { runtime, host, boot, user: String::new(), channels: HashMap::new() }
    }

    /// Returns true if the key permits a login as the user.
    fn opens(&self, user: &str, key: &PublicKey) -> bool {
        let keys = self.runtime.with(&self.host, self.boot, |machine, _| machine.authorized_keys(user));
        let mut parsed = keys.unwrap_or_default().into_iter().filter_map(|line| PublicKey::from_openssh(&line).ok());
        parsed.any(|authorized| authorized.key_data() == key.key_data())
    }

    /// Returns the reply to an authentication request.
    fn decide(&self, user: &str, key: &PublicKey) -> Auth {
        if self.opens(user, key) { Auth::Accept } else { Auth::reject() }
    }

    /// Prepares the program of a session; `None` if the machine went down.
    fn start(&mut self, channel: ChannelId) -> Option<Started> {
        let session = self.channels.get_mut(&channel)?;
        let process = login(&self.runtime, &self.host, self.boot, &self.user, &session.environment)?;
        let (input, incoming) = mpsc::unbounded_channel();
        let (outgoing, output) = mpsc::unbounded_channel();
        session.input = Some(input);
        let io = Io {
            input: Source::session(incoming),
            output: Sink::Session(outgoing.clone(), Stream::Output),
            error: Sink::Session(outgoing, Stream::Error),
        };
        Some(Started { process, io, output })
    }

    /// Returns the terminal of a channel, if the client requested one.
    fn terminal(&mut self, channel: ChannelId) -> Option<&mut Terminal> {
        self.channels.get_mut(&channel)?.terminal.as_mut()
    }

    /// Returns the prompt of an interactive shell.
    fn prompt(&self) -> String {
        let sign = if self.user == "root" { '#' } else { '$' };
        format!("{}@{}:~{sign} ", self.user, self.host)
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(self.decide(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        user.clone_into(&mut self.user);
        Ok(self.decide(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), SessionChannel::default());
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let port = (port_to_connect == SSH_PORT).then(|| self.runtime.neighbour(&self.host, host_to_connect)).flatten();
        let Some(port) = port else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        tokio::spawn(join(channel, port, reply));
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(open) = self.channels.get_mut(&channel) {
            open.environment.insert(name.to_owned(), value.to_owned());
        }
        session.channel_success(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(open) = self.channels.get_mut(&channel) {
            open.terminal = Some(Terminal::default());
        }
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(data).into_owned();
        let Some(started) = self.start(channel) else { return session.channel_failure(channel) };
        session.channel_success(channel)?;
        let terminal = self.terminal(channel).is_some();
        tokio::spawn(attend(session.handle(), channel, terminal, started, move |process, io| {
            execute(process, io, &command)
        }));
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        let Some(started) = self.start(channel) else { return session.channel_failure(channel) };
        session.channel_success(channel)?;
        let terminal = self.terminal(channel).is_some();
        let prompt = terminal.then(|| self.prompt());
        tokio::spawn(attend(session.handle(), channel, terminal, started, move |process, io| {
            converse(process, io, prompt.as_deref())
        }));
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Some(open) = self.channels.get_mut(&channel) else { return Ok(()) };
        let Some(terminal) = &mut open.terminal else {
            if let Some(input) = &open.input {
                // Input for a program that has ended is discarded, as in a closed pipe.
                drop(input.send(data.to_vec()));
            }
            return Ok(());
        };
        let typed = terminal.type_in(data);
        session.data(channel, typed.echo)?;
        for line in typed.lines {
            open.input.as_ref().map(|input| input.send(line));
        }
        if typed.ended {
            open.input = None;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(open) = self.channels.get_mut(&channel) {
            open.input = None;
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }
}

/// Connects a channel to the destination of a port forwarding.
///
/// The session continues meanwhile, because a connection that is dropped takes minutes to fail.
async fn join(channel: Channel<Msg>, port: u16, reply: ChannelOpenHandle) {
    match connect(port).await {
        Ok(stream) => {
            reply.accept().await;
            forward(channel, stream).await;
        }
        Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
    }
}

/// Connects to a port on loopback, without a delay for small packets, as sshd does.
async fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Copies data in both directions until both sides have ended or one has failed.
async fn forward(channel: Channel<Msg>, mut stream: TcpStream) {
    if let Err(error) = copy_bidirectional(&mut channel.into_stream(), &mut stream).await {
        tracing::debug!(%error, "a forwarded connection broke");
    }
}

/// Runs a program to its end, sends its output, and closes the channel with its exit status.
async fn attend(
    handle: Handle,
    channel: ChannelId,
    terminal: bool,
    started: Started,
    run: impl FnOnce(Process, &Io) -> Exit + Send + 'static,
) {
    let Started { process, io, mut output } = started;
    let shared = process.shared.clone();
    let running = tokio::task::spawn_blocking(move || run(process, &io));
    while let Some((stream, bytes)) = output.recv().await {
        let bytes = if terminal { Terminal::shown(&bytes) } else { bytes };
        let sent = match stream {
            Stream::Output => handle.data(channel, bytes).await.is_ok(),
            // Extended data of type 1 is standard error (RFC 4254, section 5.2).
            Stream::Error => handle.extended_data(channel, 1, bytes).await.is_ok(),
        };
        if !sent {
            return;
        }
    }
    let ended = running.await;
    // The exit status acknowledges what the program changed.
    if shared.saved().await.is_err() || close(&handle, channel, ended).await.is_err() {
        tracing::debug!("the client was gone before its program's end");
    }
}

/// Closes the channel of a program that has ended, or the connection if the machine went down.
async fn close(handle: &Handle, channel: ChannelId, ended: Result<Exit, tokio::task::JoinError>) -> Result<(), ()> {
    if let Ok(Ok(status)) = ended {
        handle.exit_status_request(channel, status.cast_unsigned()).await?;
        handle.eof(channel).await?;
        return handle.close(channel).await;
    }
    // A machine that goes down closes the connection without an exit status.
    let language = String::new();
    handle
        .disconnect(russh::Disconnect::ByApplication, "Connection closed by remote host".to_owned(), language)
        .await
        .map_err(drop)
}
