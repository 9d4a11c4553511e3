use std::net::Ipv4Addr;

use super::path::{Endpoint, RequestPath, UnknownEndpoint};
use super::plane::Plane;
use super::tracer::Tracer;
use crate::World;
use crate::arm::Service;

/// Traces a request by HTTP from `from` to `to` and its reply: pods or machines, by name or
/// address.
///
/// # Errors
/// One of them does not exist.
pub fn reach(world: &World, from: &str, to: &str) -> Result<RequestPath, UnknownEndpoint> {
    Plane::of(world).path(from, to, Service::HTTP)
}

/// Size of the packets of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketSize {
    /// Packets that fit everywhere, such as those of a short request.
    Small,
    /// Packets as large as the ends of the connection may send.
    Full,
}

impl Plane {
    /// Traces a request and its reply, with their hops.
    ///
    /// # Errors
    /// One of the two does not exist.
    pub fn path(&self, from: &str, to: &str, service: Service) -> Result<RequestPath, UnknownEndpoint> {
        Ok(self.walk(&self.endpoint(from)?, &self.endpoint(to)?, service, true))
    }

    /// Returns the source address that the answering end sees, or `None` if the request or its
    /// reply is dropped.
    ///
    /// # Errors
    /// One of the two does not exist.
    pub(crate) fn request(
        &self,
        from: &str,
        to: &str,
        service: Service,
        size: PacketSize,
    ) -> Result<Option<Ipv4Addr>, UnknownEndpoint> {
        let (path, seen) = trace(&self.endpoint(from)?, &self.endpoint(to)?, Tracer::new(self, service, false), size);
        Ok(path.ok.then_some(seen))
    }

    /// Traces a request and its reply, with their hops if `records_hops` is set.
    pub(super) fn walk(&self, from: &Endpoint, to: &Endpoint, service: Service, records_hops: bool) -> RequestPath {
        trace(from, to, Tracer::new(self, service, records_hops), PacketSize::Full).0
    }
}

/// Returns the traces in both directions, and the source address of the request on arrival.
fn trace(from: &Endpoint, to: &Endpoint, mut walk: Tracer<'_>, size: PacketSize) -> (RequestPath, Ipv4Addr) {
    let (mut request, seen, way) = walk.trace(from, from.ip, to.ip, false);
    let mut reply = None;
    if request.died.is_none() {
        let (mut answer, _, back) = walk.trace(to, to.ip, seen, true);
        if answer.died.is_none() && size == PacketSize::Full {
            way.fill(&back, &mut request);
            back.fill(&way, &mut answer);
        }
        reply = Some(answer).filter(|_| request.died.is_none());
    }
    let ok = reply.as_ref().is_some_and(|reply| reply.died.is_none());
    let path = RequestPath { from: from.clone(), to: to.clone(), ok, source_kept: seen == from.ip, request, reply };
    (path, seen)
}
