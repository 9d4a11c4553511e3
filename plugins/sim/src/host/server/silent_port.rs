use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use tokio::net::{TcpListener, TcpSocket};

/// Port on loopback that never answers, as behind a security group that drops packets.
///
/// A client waits until its own timeout. The port's queue has room for one connection, which is
/// never accepted; the kernel drops further requests.
#[derive(Debug)]
pub(super) struct SilentPort {
    number: u16,
    _queue: TcpListener,
    _in_queue: TcpStream,
}

impl SilentPort {
    /// Opens a port and fills its queue.
    pub(super) fn open() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let queue = socket.listen(0)?;
        let address = queue.local_addr()?;
        Ok(Self { number: address.port(), _in_queue: TcpStream::connect(address)?, _queue: queue })
    }

    /// Returns the number of the port.
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
