//! Orders about a virtio socket device (virtio 1.2, section 5.10): one packet and its answer, and any packets.

use crate::arch::{get, order, put};
use crate::disk::close;
use crate::net;
use crate::reply::{Arguments, Reply, check};
use crate::shared::memory;
use crate::virtio;
use blocks::Random;
use rt::println;
use rt::timer;
use rt::virtio::queue::{self, MAX_SIZE, Queue, WRITE};
use rt::virtio::{Transport, VERSION_1, register};

/// Virtio device ID.
const SOCKETS: u32 = 19;
/// Queues.
const RECEIVE: u32 = 0;
const SEND: u32 = 1;
const EVENTS: u32 = 2;
/// Bytes of a packet's header, of a buffer, and how many buffers there are to receive in.
const HEADER: u64 = 44;
const BUFFER: u64 = 4096;
const BUFFERS: u16 = 8;
/// VIRTIO_VSOCK_OP_REQUEST and VIRTIO_VSOCK_OP_RST.
const REQUEST: u16 = 1;
const RESET: u16 = 3;
/// VIRTIO_VSOCK_TYPE_STREAM.
const STREAM: u16 = 1;
/// The host's context id, and the port that this guest speaks from.
const HOST: u64 = 2;
const OWN_PORT: u32 = 777;
/// Seconds that an answer may take.
const PATIENCE_S: u64 = 10;
/// Where the buffers lie in [`memory`].
const RECEIVED: u64 = 3 * queue::BYTES;
const SENT: u64 = RECEIVED + BUFFERS as u64 * BUFFER;

/// A device in use.
struct Sockets {
    transport: Transport,
    received: Queue,
    sent: Queue,
    /// This guest's context id.
    cid: u64,
    /// A packet that came while another was being sent, the last of them.
    early: Option<Said>,
}

/// What came: its operation, and from which port to which.
type Said = (u16, [u32; 2]);

/// What a packet's header says.
#[derive(Clone, Copy)]
struct Header {
    cids: [u64; 2],
    ports: [u32; 2],
    bytes: u32,
    kind: u16,
    operation: u16,
    flags: u32,
    room: u32,
    taken: u32,
}

impl Sockets {
    fn open(slot: u64) -> Result<Self, crate::reply::Refusal> {
        let transport = virtio::find(slot)?;
        check(transport.read(register::DEVICE_ID) == SOCKETS, "no socket device is there")?;
        close();
        net::close();
        let agreed = virtio::begin(transport, VERSION_1)?;
        check(agreed & VERSION_1 != 0, "a legacy device")?;
        let [received, sent, events] = [RECEIVE, SEND, EVENTS]
            .map(|n| Queue::begin(transport, n, memory() + u64::from(n) * queue::BYTES, MAX_SIZE, agreed));
        let (mut received, sent) = (received?, sent?);
        events?;
        for head in 0..BUFFERS {
            received.describe(head, buffer(head), BUFFER as u32, WRITE, 0);
            received.offer(head);
        }
        transport.ready();
        received.kick();
        Ok(Self { transport, received, sent, cid: transport.config64(0), early: None })
    }

    /// Sends a packet, with as many bytes behind the header as there are said to be here, and waits until it is taken.
    fn send(&mut self, header: &Header, bytes: u32) -> Reply {
        let at = memory() + SENT;
        put(at, header.cids[0]);
        put(at + 8, header.cids[1]);
        put(at + 16, header.ports[0]);
        put(at + 20, header.ports[1]);
        put(at + 24, header.bytes);
        put(at + 28, header.kind);
        put(at + 30, header.operation);
        put(at + 32, header.flags);
        put(at + 36, header.room);
        put(at + 40, header.taken);
        order();
        self.sent.describe(0, at, bytes.max(1), 0, 0);
        self.sent.offer(0);
        self.sent.kick();
        let until = timer::now() + PATIENCE_S * timer::frequency();
        while self.sent.take().is_none() {
            check(!self.transport.is_broken(), "the device needs a reset")?;
            check(timer::now() < until, "the device does not take the packet")?;
            // What it has to say first may need the room.
            self.early = self.take().or(self.early);
        }
        Ok(())
    }

    /// The next packet that comes.
    fn receive(&mut self) -> Option<Said> {
        self.early.take().or_else(|| self.take())
    }

    fn take(&mut self) -> Option<Said> {
        let (head, written) = self.received.take()?;
        let head = head as u16 % BUFFERS;
        let at = buffer(head);
        let said = (get(at + 30), [get(at + 16), get(at + 20)]);
        self.give_back(head);
        (u64::from(written) >= HEADER).then_some(said)
    }

    fn give_back(&mut self, head: u16) {
        self.received.offer(head);
        self.received.kick();
    }

    /// Asks for a connection, and for what comes of it: the operation of the answer.
    fn connect(&mut self, cid: u64, port: u32) -> Result<u16, crate::reply::Refusal> {
        let ports = [OWN_PORT, port];
        let request = Header {
            cids: [self.cid, cid],
            ports,
            bytes: 0,
            kind: STREAM,
            operation: REQUEST,
            flags: 0,
            room: BUFFER as u32,
            taken: 0,
        };
        self.send(&request, HEADER as u32)?;
        let until = timer::now() + PATIENCE_S * timer::frequency();
        loop {
            if let Some((operation, [from, to])) = self.receive()
                && [to, from] == ports
            {
                return Ok(operation);
            }
            check(timer::now() < until, "no answer")?;
        }
    }
}

fn buffer(head: u16) -> u64 {
    memory() + RECEIVED + u64::from(head) * BUFFER
}

/// `sconnect`
pub fn connect(arguments: &mut Arguments) -> Reply {
    let (slot, port) = (arguments.number()?, arguments.number()? as u32);
    let cid = arguments.optional()?.unwrap_or(HOST);
    let mut sockets = Sockets::open(slot)?;
    let operation = sockets.connect(cid, port)?;
    sockets.transport.reset();
    println!("ok cid={} operation={operation}", sockets.cid);
    Ok(())
}

/// `sattack`
pub fn attack(arguments: &mut Arguments) -> Reply {
    let (slot, seed, rounds, port) =
        (arguments.number()?, arguments.number()?, arguments.number()?, arguments.number()? as u32);
    let mut sockets = Sockets::open(slot)?;
    let mut random = Random::new(seed);
    let (mut answers, mut resets) = (0_u64, 0_u64);
    for _ in 0..rounds {
        let cids = [random.pick(&[sockets.cid, 2, u64::MAX]), random.pick(&[HOST, HOST, HOST, 3, 0])];
        let ports = [OWN_PORT + random.below(3) as u32, random.pick(&[port, port, port + 1, 0, u32::MAX])];
        let bytes = random.pick(&[0, 1, 64, 2000, 0x1_0000, u32::MAX]);
        let header = Header {
            cids,
            ports,
            bytes,
            kind: random.pick(&[STREAM, STREAM, STREAM, 2, 0]),
            operation: random.below(9) as u16,
            flags: random.below(5) as u32,
            room: random.pick(&[0, 1, 4096, u32::MAX]),
            taken: random.next() as u32,
        };
        let length = random.pick(&[HEADER as u32, HEADER as u32 + bytes.min(4000), 0, 43]);
        sockets.send(&header, length)?;
        while let Some((operation, _)) = sockets.receive() {
            answers += 1;
            resets += u64::from(operation == RESET);
        }
    }
    sockets.transport.reset();
    println!("ok rounds={rounds} answers={answers} resets={resets}");
    Ok(())
}
