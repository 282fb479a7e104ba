//! The board's network device: QEMU's user networking, the ports that lead in from the host, and what passed by.
//!
//! User networking (libslirp) is a router at 10.0.2.2, which is also the host's loopback, a name server at 10.0.2.3, which
//! asks the host's, and a DHCP server whose first address is 10.0.2.15. Nothing of it needs privileges or the internet.
//! Whatever crosses the device is written to a file (QEMU's filter-dump), so a test need not believe a guest.

use crate::monitor::Monitor;
use crate::run::Run;
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The host, as a guest behind the uplink sees it.
pub const HOST: &str = "10.0.2.2";
/// Its name server.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Bytes of the headers of a capture file and of each frame in it (pcap, version 2.4).
const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;

/// A network device that is not yet made.
pub struct Uplink {
    capture: PathBuf,
    ports: Vec<u16>,
}

impl Uplink {
    /// A device through which TCP ports of its address can be reached from the host.
    pub fn new(run: &Run, ports: &[u16]) -> Result<Self> {
        Ok(Self { capture: run.new_directory("uplink")?.join("capture"), ports: ports.to_vec() })
    }

    /// QEMU's arguments for it: one of the machine's virtio-mmio transports, of version 2. QEMU chooses the host's ports.
    pub fn arguments(&self) -> [String; 8] {
        let forwards: String = self.ports.iter().map(|port| format!(",hostfwd=tcp:127.0.0.1:0-:{port}")).collect();
        // QEMU splits options at commas and reads a doubled comma as one.
        let file = self.capture.to_string_lossy().replace(',', ",,");
        [
            "-global".into(),
            "virtio-mmio.force-legacy=false".into(),
            "-netdev".into(),
            format!("user,id=uplink{forwards}"),
            "-device".into(),
            "virtio-net-device,netdev=uplink".into(),
            "-object".into(),
            format!("filter-dump,id=capture,netdev=uplink,file={file}"),
        ]
    }

    /// The host's port that leads to this port of the device's address.
    pub fn host_port(monitor: &mut Monitor, port: u16) -> Result<u16> {
        let said = monitor.command("info usernet")?;
        let found = said.lines().find_map(|line| forward(line).filter(|&(_, inside)| inside == port));
        found.map(|(outside, _)| outside).with_context(|| format!("no port leads to {port}: {said:?}"))
    }

    /// All frames that crossed the device so far, in both directions.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        let bytes =
            std::fs::read(&self.capture).with_context(|| format!("no capture at {}", self.capture.display()))?;
        frames(&bytes)
    }
}

/// Ports of a line as `TCP[HOST_FORWARD]  8  127.0.0.1 44761  10.0.2.15  2222  0  0`.
fn forward(line: &str) -> Option<(u16, u16)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_forward = words.first().is_some_and(|word| word.ends_with("[HOST_FORWARD]"));
    let port = |n: usize| words.get(n)?.parse().ok();
    is_forward.then_some((port(3)?, port(5)?))
}

fn frames(bytes: &[u8]) -> Result<Vec<Frame>> {
    let mut rest = bytes.get(FILE_HEADER..).context("the capture has no header")?;
    let mut frames = Vec::new();
    // QEMU may be writing the last one.
    while let Some((header, behind)) = rest.split_at_checked(FRAME_HEADER) {
        let length = header.get(8..12).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes);
        ensure!(length <= 1 << 17, "a captured frame has {length} bytes");
        let Some((frame, behind)) = behind.split_at_checked(length as usize) else { break };
        frames.push(Frame(frame.to_vec()));
        rest = behind;
    }
    Ok(frames)
}

/// An Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub Vec<u8>);

impl Frame {
    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(self.0.get(at..at + 2)?.try_into().ok()?))
    }

    /// The UDP datagram in it.
    pub fn udp(&self) -> Option<Datagram<'_>> {
        const IPV4: u16 = 0x0800;
        const UDP: u8 = 17;
        let (first, protocol) = (*self.0.get(14)?, *self.0.get(23)?);
        if self.word(12)? != IPV4 || protocol != UDP {
            return None;
        }
        let udp = 14 + 4 * usize::from(first & 0xf);
        let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(self.0.get(at..at + 4)?).ok()?));
        Some(Datagram {
            source: (address(26)?, self.word(udp)?),
            destination: (address(30)?, self.word(udp + 2)?),
            payload: self.0.get(udp + 8..)?,
        })
    }
}

/// A UDP datagram: who to whom, what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Address and port.
    pub source: (Ipv4Addr, u16),
    /// Address and port.
    pub destination: (Ipv4Addr, u16),
    /// Its bytes, and what pads the frame.
    pub payload: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let line = "  TCP[HOST_FORWARD]   8       127.0.0.1 44761       10.0.2.15  2222     0     0";
        assert_eq!(forward(line), Some((44761, 2222)));
        assert_eq!(forward("  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ"), None);
    }

    #[test]
    fn frames_are_read_up_to_one_that_is_being_written() {
        let mut capture = vec![0; FILE_HEADER];
        for (length, there) in [(3_u32, 3), (60, 60), (60, 10)] {
            capture.extend([[0; 4], [0; 4], length.to_le_bytes(), length.to_le_bytes()].concat());
            capture.extend(vec![0xaa; there]);
        }
        let lengths: Vec<usize> = frames(&capture).unwrap().iter().map(|frame| frame.0.len()).collect();
        assert_eq!(lengths, [3, 60]);
        assert!(frames(&capture[..10]).is_err());
    }

    #[test]
    fn a_datagram_is_found_in_its_frame() {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 15, 10, 0, 2, 3]);
        frame.extend([0x10, 0, 0, 53, 0, 10, 0, 0, 0xab, 0xcd]);
        let frame = Frame(frame);
        let datagram = frame.udp().unwrap();
        assert_eq!(datagram.source, (Ipv4Addr::new(10, 0, 2, 15), 0x1000));
        assert_eq!(datagram.destination, (NAME_SERVER, 53));
        assert_eq!(datagram.payload, [0xab, 0xcd]);
        assert_eq!(Frame(frame.0[..30].to_vec()).udp(), None);
    }
}
