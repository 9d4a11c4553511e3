use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use tokio::net::{TcpListener, TcpSocket};

/// A port on loopback that does not answer, so that whoever connects waits until it gives up: what is behind a closed security group
/// looks like this.
///
/// Its queue has room for one connection, which nobody takes from it; the kernel drops what comes after.
#[derive(Debug)]
pub(super) struct SilentPort {
    number: u16,
    _queue: TcpListener,
    _in_queue: TcpStream,
}

impl SilentPort {
    /// Opens one; it is silent from now on.
    pub(super) fn open() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let queue = socket.listen(0)?;
        let address = queue.local_addr()?;
        Ok(Self { number: address.port(), _in_queue: TcpStream::connect(address)?, _queue: queue })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_connects_waits_until_it_gives_up() {
        let silent = SilentPort::open().expect("opened");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, silent.number()));
        for _ in 0..3 {
            let error = TcpStream::connect_timeout(&address, Duration::from_millis(300)).expect_err("no answer");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        }
    }
}
