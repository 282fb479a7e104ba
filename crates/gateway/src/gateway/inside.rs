//! Frames from the ports: what the gateway answers itself, and what it routes.

use super::{Gateway, Port};
use crate::counters::Done;
use crate::dhcp::server::Offer;
use crate::wire::{self, BROADCAST, ETHERNET, Header, MTU};
use crate::{Out, Reason, Slots, arp, dhcp};
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, UdpPacket};

impl<S: Slots> Gateway<'_, S> {
    pub(super) fn take_from_port(
        &mut self,
        number: usize,
        frame: &mut [u8],
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let port = *self.inside.ports.get(number).ok_or(Reason::Source)?;
        let ethernet = EthernetFrame::new_checked(&*frame).map_err(|_| Reason::Malformed)?;
        let is_broadcast = ethernet.dst_addr().0 == BROADCAST;
        if !is_broadcast && ethernet.dst_addr().0 != self.inside.mac {
            return Err(Reason::NotForUs);
        }
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.arp_from_port(number, &port, frame, out),
            EthernetProtocol::Ipv4 => self.ipv4_from_port(number, &port, frame, is_broadcast, now_ms, out),
            _ => Err(Reason::Protocol),
        }
    }

    /// Only the gateway's own address: the ports answer each other themselves.
    fn arp_from_port(&mut self, number: usize, port: &Port, frame: &[u8], out: &mut impl Out) -> Result<Done, Reason> {
        let message = arp::Message::parse(frame)?;
        // A station that asks whether its address is free has none yet (RFC 5227).
        if message.sender.1 != port.address && !message.sender.1.is_unspecified() {
            return Err(Reason::Source);
        }
        if message.is_request && message.target == self.inside.address {
            out.to_port(number, message.answer(self.inside.mac).frame());
        }
        Ok(Done::Answered)
    }

    fn ipv4_from_port(
        &mut self,
        number: usize,
        port: &Port,
        frame: &mut [u8],
        is_broadcast: bool,
        now_ms: u64,
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        let header = Header::parse(frame)?;
        let is_ours = header.destination == self.inside.address;
        if header.protocol == IpProtocol::Udp && (is_ours || header.destination.is_broadcast()) {
            let ports = UdpPacket::new_checked(header.payload(frame)).map_err(|_| Reason::Malformed)?;
            if ports.dst_port() == dhcp::SERVER {
                return self.dhcp_from_port(number, port, &header, frame, out);
            }
        }
        if header.source != port.address {
            return Err(Reason::Source);
        }
        if is_broadcast {
            return Err(Reason::Destination);
        }
        match is_ours && wire::is_echo_request(&header, frame) {
            true => self.echo(number, port, &header, frame, out),
            false => self.route(number, &header, frame, now_ms, out),
        }
    }

    fn dhcp_from_port(
        &mut self,
        number: usize,
        port: &Port,
        header: &Header,
        frame: &[u8],
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        if header.source != port.address && !header.source.is_unspecified() {
            return Err(Reason::Source);
        }
        let message = dhcp::Message::parse(wire::udp_payload(header, frame)?)?;
        let offer = Offer {
            gateway: (self.inside.mac, self.inside.address),
            mask: self.inside.subnet.netmask(),
            client: (port.mac, port.address),
        };
        if let Some(mut answer) = offer.answer(&message)? {
            out.to_port(number, answer.frame());
        }
        Ok(Done::Answered)
    }

    /// Turns an echo request into its reply, in place.
    fn echo(
        &mut self,
        number: usize,
        port: &Port,
        header: &Header,
        frame: &mut [u8],
        out: &mut impl Out,
    ) -> Result<Done, Reason> {
        if header.end > ETHERNET + MTU {
            return Err(Reason::TooBig);
        }
        wire::echo_reply(header, frame)?;
        wire::address(frame, self.inside.mac, port.mac);
        out.to_port(number, frame.get(..header.end).ok_or(Reason::Malformed)?);
        Ok(Done::Answered)
    }
}
