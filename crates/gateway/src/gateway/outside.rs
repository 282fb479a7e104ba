//! Frames from the uplink: replies, forwarded ports, and what concerns the gateway itself.

use super::{Gateway, seconds};
use crate::counters::Done;
use crate::dhcp::lease::{Lease, is_unicast};
use crate::flow::{Endpoint, Flow, Protocol, Side, State};
use crate::flows::Birth;
use crate::nat::{self, Ends, Transport};
use crate::wire::{self, BROADCAST, ETHERNET, Header, MTU};
use crate::{Out, Reason, Slots, arp, dhcp, quote};
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, UdpPacket};

impl<S: Slots> Gateway<'_, S> {
    pub(super) fn take_from_uplink(
        &mut self,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let uplink = self.uplink.as_mut().ok_or(Reason::NoRoute)?;
        let ethernet = EthernetFrame::new_checked(&*frame).map_err(|_| Reason::Malformed)?;
        let is_broadcast = ethernet.dst_addr().0 == BROADCAST;
        if !is_broadcast && ethernet.dst_addr().0 != uplink.mac {
            return Err(Reason::NotForUs);
        }
        match ethernet.ethertype() {
            EthernetProtocol::Arp => uplink.hear(&arp::Message::parse(frame)?, now_ms, out),
            EthernetProtocol::Ipv4 => self.ipv4_from_uplink(frame, is_broadcast, now_ms, out),
            _ => Err(Reason::Protocol),
        }
    }

    fn ipv4_from_uplink(
        &mut self,
        frame: &mut [u8],
        is_broadcast: bool,
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let header = Header::parse(frame)?;
        if header.protocol == IpProtocol::Udp {
            let ports = UdpPacket::new_checked(header.payload(frame)).map_err(|_| Reason::Malformed)?;
            // Before there is an address, so whatever the destination is.
            if ports.dst_port() == dhcp::CLIENT {
                return self.dhcp_from_uplink(&header, frame, now_ms, out);
            }
        }
        let lease = *self.uplink.as_ref().and_then(|uplink| uplink.lease()).ok_or(Reason::NoRoute)?;
        if is_broadcast || header.destination != lease.address {
            return Err(Reason::Destination);
        }
        let is_inside = self.inside.subnet.contains_addr(&header.source);
        if is_inside || !is_unicast(header.source) || header.source == lease.address {
            return Err(Reason::Source);
        }
        match nat::parse(&header, frame)? {
            Transport::Ends(ends) if ends.protocol == Protocol::Icmp && ends.asks => {
                self.echo_from_uplink(&lease, &header, frame, now_ms, out)
            }
            Transport::Ends(ends) => self.deliver(&header, &ends, frame, now_ms, out),
            Transport::Icmp(message) if quote::is_error(message) => {
                self.deliver_error(&lease, &header, frame, now_ms, out)
            }
            Transport::Icmp(_) => Err(Reason::Protocol),
        }
    }

    fn dhcp_from_uplink(
        &mut self,
        header: &Header,
        frame: &[u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let message = dhcp::Message::parse(wire::udp_payload(header, frame)?)?;
        let lease = Lease::new(&message, seconds(now_ms));
        if lease.is_some_and(|lease| !self.inside.may_bind(&lease)) {
            return Err(Reason::Dhcp);
        }
        let uplink = self.uplink.as_mut().ok_or(Reason::NoRoute)?;
        match uplink.client.receive(&message, now_ms, &mut self.random) {
            dhcp::client::Action::None => Err(Reason::Dhcp),
            action => {
                self.act(action, now_ms, out);
                Ok(Done::Answered)
            }
        }
    }

    fn echo_from_uplink(
        &mut self,
        lease: &Lease,
        header: &Header,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let uplink = self.uplink.as_mut().ok_or(Reason::NoRoute)?;
        if header.end > ETHERNET + MTU {
            return Err(Reason::TooBig);
        }
        if !uplink.echoes.take(now_ms) {
            return Err(Reason::Refused);
        }
        wire::echo_reply(header, frame)?;
        let hop = lease.next_hop(header.source).ok_or(Reason::NoRoute)?;
        let reply = frame.get_mut(..header.end).ok_or(Reason::Malformed)?;
        uplink.send(hop, reply, now_ms, out).map(|_| Done::Answered)
    }

    /// Hands a packet to the guest whose it is.
    fn deliver(
        &mut self,
        header: &Header,
        ends: &Ends,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        if header.end > ETHERNET + MTU {
            return Err(Reason::TooBig);
        }
        if header.hops <= 1 {
            return Err(Reason::HopLimit);
        }
        let (item, flow) = self.flow_from_outside(ends, now_ms)?;
        nat::rewrite(frame, header.end, ends, (flow.remote_inside(self.inside.address), flow.inside))?;
        self.flows.touch(item, Side::Outside, ends.segment, seconds(now_ms));
        self.hand_over(&flow, header, frame, out)
    }

    /// The flow of a packet: an old one, or one that a forwarded port begins.
    fn flow_from_outside(&mut self, ends: &Ends, now_ms: u64) -> Result<(usize, Flow), Reason> {
        let now_s = seconds(now_ms);
        let number = ends.destination.port;
        if let Some(found) = self.flows.find_outside(ends.protocol, number, ends.source, now_s) {
            return Ok(found);
        }
        let inside = self.flows.forwarded(ends.protocol, number).ok_or(Reason::NoFlow)?;
        if ends.protocol == Protocol::Tcp && !ends.segment.opens() {
            return Err(Reason::NoFlow);
        }
        let port = self.inside.port_of(inside.address).ok_or(Reason::NoFlow)?;
        self.make_room(port, now_s)?;
        let number_of_port = u8::try_from(port).map_err(|_| Reason::TableFull)?;
        let state = State::begun(Side::Outside);
        let birth = Birth { protocol: ends.protocol, port: number_of_port, inside, remote: ends.source, state };
        let item = self.flows.add(birth, number, now_s)?;
        let flow = *self.flows.get(item).ok_or(Reason::TableFull)?;
        Ok((item, flow))
    }

    /// An ICMP error about a packet that went out.
    fn deliver_error(
        &mut self,
        lease: &Lease,
        header: &Header,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        if header.end > ETHERNET + MTU {
            return Err(Reason::TooBig);
        }
        if header.hops <= 1 {
            return Err(Reason::HopLimit);
        }
        let about = quote::parse(header, frame)?;
        if about.source.address != lease.address {
            return Err(Reason::NoFlow);
        }
        let found = self.flows.find_outside(about.protocol, about.source.port, about.destination, seconds(now_ms));
        let (_, flow) = found.ok_or(Reason::NoFlow)?;
        let remote: Endpoint = flow.remote_inside(self.inside.address);
        // If the other end itself complains, it is known inside by another address, perhaps.
        let from = if header.source == flow.remote.address { remote.address } else { header.source };
        quote::rewrite(frame, header.end, &about, (flow.inside, remote), (from, flow.inside.address))?;
        self.hand_over(&flow, header, frame, out)
    }

    fn hand_over(
        &mut self,
        flow: &Flow,
        header: &Header,
        frame: &mut [u8],
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let number = usize::from(flow.port);
        let port = self.inside.ports.get(number).ok_or(Reason::NoFlow)?;
        let frame = frame.get_mut(..header.end).ok_or(Reason::Malformed)?;
        wire::address(frame, self.inside.mac, port.mac);
        out.to_port(number, frame);
        Ok(Done::Forwarded)
    }
}
