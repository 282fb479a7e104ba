//! Packets from the ports to the uplink.

use super::{Gateway, seconds};
use crate::counters::{Done, Origin};
use crate::dhcp::lease::{Lease, is_unicast};
use crate::error::{self, Complaint};
use crate::flow::{Endpoint, Protocol, Side, State};
use crate::flows::Birth;
use crate::nat::{self, Ends, Transport};
use crate::wire::{ETHERNET, Envelope, Header, MTU};
use crate::{Out, Reason, Slots, quote};
use core::net::Ipv4Addr;
use smoltcp::wire::IpProtocol;

/// DNS's port.
const DNS: u16 = 53;

impl<S: Slots> Gateway<'_, S> {
    /// Sends a packet on its way, or tells its sender why not.
    pub(super) fn route(
        &mut self,
        port: usize,
        header: &Header,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let transport = nat::parse(header, frame)?;
        let outcome = match &transport {
            Transport::Ends(ends) => self.forward(port, header, ends, frame, now_ms, out),
            Transport::Icmp(message) if quote::is_error(*message) => {
                self.forward_error(port, header, frame, now_ms, out)
            }
            Transport::Icmp(_) => Err(Reason::Protocol),
        };
        // Nobody complains about an ICMP error (RFC 1122, 3.2.2), or about an echo's reply.
        if let (Err(reason), Transport::Ends(ends)) = (outcome, &transport)
            && ends.asks
        {
            self.complain(port, reason, header, frame, now_ms, out);
        }
        outcome
    }

    /// What must be right of every packet that leaves; the lease with which it does.
    fn judge(&self, header: &Header) -> Result<Lease, Reason> {
        let is_inside = self.inside.subnet.contains_addr(&header.destination);
        let is_ours = header.destination == self.inside.address;
        if !is_unicast(header.destination) || (is_inside && !is_ours) {
            return Err(Reason::Destination);
        }
        if header.hops <= 1 {
            return Err(Reason::HopLimit);
        }
        let lease = *self.uplink.as_ref().and_then(|uplink| uplink.lease()).ok_or(Reason::NoRoute)?;
        if header.destination == lease.address {
            return Err(Reason::Refused);
        }
        let network = lease.network().network().address();
        if lease.prefix < 31
            && (lease.network().broadcast() == Some(header.destination) || network == header.destination)
        {
            return Err(Reason::Destination);
        }
        if header.end > ETHERNET + MTU {
            return Err(Reason::TooBig);
        }
        Ok(lease)
    }

    fn forward(
        &mut self,
        port: usize,
        header: &Header,
        ends: &Ends,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let is_ours = header.destination == self.inside.address;
        if is_ours && (ends.destination.port != DNS || ends.protocol == Protocol::Icmp) {
            return Err(Reason::Refused);
        }
        let lease = self.judge(header)?;
        let (item, outside, remote) = self.flow_from_inside(port, ends, &lease, now_ms)?;
        let hop = lease.next_hop(remote.address).ok_or(Reason::NoRoute)?;
        nat::rewrite(frame, header.end, ends, (Endpoint::new(lease.address, outside), remote))?;
        self.flows.touch(item, Side::Inside, ends.segment, seconds(now_ms));
        self.send(hop, header, frame, now_ms, out)
    }

    /// The flow of a packet, old or new, its port outside, and the other end.
    fn flow_from_inside(
        &mut self,
        port: usize,
        ends: &Ends,
        lease: &Lease,
        now_ms: u64,
    ) -> Result<(usize, u16, Endpoint), Reason> {
        let now_s = seconds(now_ms);
        if let Some((item, flow)) = self.flows.find_inside(ends.protocol, ends.source, ends.destination, now_s) {
            return Ok((item, flow.outside, flow.remote));
        }
        if !ends.may_begin() {
            return Err(Reason::NoFlow);
        }
        let mut state = State::begun(Side::Inside);
        let mut remote = ends.destination;
        if remote.address == self.inside.address {
            state = state.via_gateway();
            remote.address = lease.dns.ok_or(Reason::Refused)?;
        }
        // No flow for a packet that has no way.
        lease.next_hop(remote.address).ok_or(Reason::NoRoute)?;
        self.make_room(port, now_s)?;
        let number = u8::try_from(port).map_err(|_| Reason::TableFull)?;
        let birth = Birth { protocol: ends.protocol, port: number, inside: ends.source, remote, state };
        let item = self.flows.begin(birth, now_s, &mut self.random)?;
        let flow = self.flows.get(item).ok_or(Reason::TableFull)?;
        Ok((item, flow.outside, flow.remote))
    }

    /// Makes room for a flow of a port, and counts it where one had to go.
    pub(super) fn make_room(&mut self, port: usize, now_s: u32) -> Result<(), Reason> {
        let victim = self.flows.make_room(port, now_s)?;
        if let Some(tally) = victim.and_then(|victim| self.counters.tally(Origin::Port(victim))) {
            tally.evicted = tally.evicted.wrapping_add(1);
        }
        Ok(())
    }

    /// An ICMP error about a packet that came in.
    fn forward_error(
        &mut self,
        port: usize,
        header: &Header,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let about = quote::parse(header, frame)?;
        let lease = self.judge(header)?;
        if about.source.address != header.destination || about.destination.address != header.source {
            return Err(Reason::NoFlow);
        }
        let found = self.flows.find_inside(about.protocol, about.destination, about.source, seconds(now_ms));
        let (_, flow) = found.filter(|(_, flow)| usize::from(flow.port) == port).ok_or(Reason::NoFlow)?;
        let hop = lease.next_hop(flow.remote.address).ok_or(Reason::NoRoute)?;
        let quoted = (flow.remote, Endpoint::new(lease.address, flow.outside));
        quote::rewrite(frame, header.end, &about, quoted, (lease.address, flow.remote.address))?;
        self.send(hop, header, frame, now_ms, out)
    }

    fn send(
        &mut self,
        hop: Ipv4Addr,
        header: &Header,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let frame = frame.get_mut(..header.end).ok_or(Reason::Malformed)?;
        self.uplink.as_mut().ok_or(Reason::NoRoute)?.send(hop, frame, now_ms, out)
    }

    /// Tells the sender of a packet why it went no further, if it is one of the reasons that are told.
    fn complain(
        &mut self,
        number: usize,
        reason: Reason,
        header: &Header,
        frame: &[u8],
        now_ms: u64,
        out: &mut impl Out,
    ) {
        let is_tcp = header.protocol == IpProtocol::Tcp;
        let complaint = match reason {
            Reason::NoRoute => Some(Complaint::Network),
            Reason::HopLimit => Some(Complaint::HopLimit),
            Reason::TooBig => Some(Complaint::TooBig),
            Reason::Refused if !is_tcp => Some(Complaint::Port),
            // A TCP segment without a connection is answered as one to a closed port: the guest need not wait.
            Reason::Refused | Reason::NoFlow if is_tcp => None,
            _ => return,
        };
        let Some(port) = self.inside.ports.get_mut(number) else { return };
        if !port.errors.take(now_ms) {
            return;
        }
        let to = (port.mac, port.address);
        let draft = match complaint {
            Some(complaint) => {
                let from = (self.inside.mac, self.inside.address);
                Some(complaint.draft(&Envelope { from, to }, header, frame))
            }
            None => error::reset(&Envelope { from: (self.inside.mac, header.destination), to }, header, frame),
        };
        if let Some(mut draft) = draft {
            out.to_port(number, draft.frame());
        }
    }
}
