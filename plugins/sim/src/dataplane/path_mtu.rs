use super::path::{DropCause, PacketDrop, PathTrace};
use crate::host::ETHERNET_MTU;

/// Sizes of packets along one path, and the segment size that its handshake announced.
///
/// Ends send packets as large as they may, as for anything longer than a word: a TLS handshake, a
/// file. A packet that is larger than the MTU of an interface is dropped there. The machine reports
/// it to the sender ("fragmentation needed"); the simulator does not rely on that report, because
/// filters and translations on the path lose it, so that connections are made and then hang
/// (tailscale/tailscale issues 3836, 8672, 9720; Tailscale's page on site-to-site networks requires
/// the clamp for this reason).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathMtu<'a> {
    /// Largest packet that the sender's own interface takes, in bytes.
    own: u32,
    /// Largest packet that the other end may answer with, in bytes: the segment size that the
    /// handshake announced to it.
    announced: u32,
    /// Interface with the smallest MTU on the path.
    narrowest: Option<NarrowestLink<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NarrowestLink<'a> {
    mtu: u32,
    host: &'a str,
    device: &'a str,
    /// Number of hops recorded before it.
    hops: usize,
}

impl Default for PathMtu<'_> {
    fn default() -> Self {
        Self { own: ETHERNET_MTU, announced: ETHERNET_MTU, narrowest: None }
    }
}

impl<'a> PathMtu<'a> {
    /// Records that the sender is a machine, whose TCP knows the MTU of its interface.
    pub(super) fn sent_by(&mut self, mtu: u32) {
        self.own = self.own.min(mtu);
        self.announced = self.announced.min(mtu);
    }

    /// Lowers the segment size that the handshake announces.
    pub(super) fn clamp(&mut self, mtu: u32) {
        self.announced = self.announced.min(mtu);
    }

    /// Records that the packet leaves by an interface.
    pub(super) fn pass(&mut self, host: &'a str, device: &'a str, mtu: u32, hops: usize) {
        if self.narrowest.as_ref().is_none_or(|narrow| mtu < narrow.mtu) {
            self.narrowest = Some(NarrowestLink { mtu, host, device, hops });
        }
    }

    /// Sends full packets after a successful trace, as large as the sender and the announcement of
    /// the trace `back` allow. Drops them at an interface that is too narrow.
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
