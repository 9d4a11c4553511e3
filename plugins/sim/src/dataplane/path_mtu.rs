use super::path::{DropCause, PacketDrop, PathTrace};
use crate::host::ETHERNET_MTU;

/// What a trip has room for, and what its handshake has said about the way back.
///
/// Ends send packets as large as they may, as for anything that is more than a word: a TLS handshake, a file. A packet
/// that is larger than an interface's MTU dies there. The machine says so to the sender ("fragmentation needed"), and that
/// the sender hears of it is not relied upon: filters and translations on the way lose it, so that connections are made and
/// then hang (tailscale/tailscale issues 3836, 8672, 9720; Tailscale's page on site-to-site networks asks for the clamp for
/// this reason).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathMtu<'a> {
    /// The largest packet that the sender's own interface takes.
    own: u32,
    /// The largest packet that the other end may answer with: the segment size that the handshake has announced to it.
    announced: u32,
    /// The narrowest interface on the way.
    narrowest: Option<NarrowestLink<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NarrowestLink<'a> {
    mtu: u32,
    host: &'a str,
    device: &'a str,
    /// How much of the way had been told before it.
    hops: usize,
}

impl Default for PathMtu<'_> {
    fn default() -> Self {
        Self { own: ETHERNET_MTU, announced: ETHERNET_MTU, narrowest: None }
    }
}

impl<'a> PathMtu<'a> {
    /// The sender is a machine itself, whose TCP knows the interface that it sends by.
    pub(super) fn sent_by(&mut self, mtu: u32) {
        self.own = self.own.min(mtu);
        self.announced = self.announced.min(mtu);
    }

    /// A machine lowers the segment size that the handshake announces.
    pub(super) fn clamp(&mut self, mtu: u32) {
        self.announced = self.announced.min(mtu);
    }

    /// The packet leaves by an interface.
    pub(super) fn pass(&mut self, host: &'a str, device: &'a str, mtu: u32, hops: usize) {
        if self.narrowest.as_ref().is_none_or(|narrow| mtu < narrow.mtu) {
            self.narrowest = Some(NarrowestLink { mtu, host, device, hops });
        }
    }

    /// Lets full packets follow on a trip that has gone well, as large as the sender and what the other end has announced on
    /// the trip `back` allow.
    pub(super) fn fill(&self, back: &Self, trip: &mut PathTrace) {
        let size = self.own.min(back.announced);
        let Some(NarrowestLink { mtu, host, device, hops }) = self.narrowest.filter(|narrow| size > narrow.mtu) else {
            return;
        };
        trip.hops.truncate(hops);
        let why = format!(
            "a packet of {size} bytes does not fit into {device} (MTU {mtu}), and nothing clamps TCP's segments"
        );
        trip.died = Some(PacketDrop::new(host, DropCause::PacketSize, why));
    }
}
