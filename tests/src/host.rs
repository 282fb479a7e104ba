//! What a guest talks to on the host: servers on the loopback, each on a port of its own.
//!
//! A server is a thread that ends with its value. Contents are random, so that nothing old passes for something new.

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Seconds that a peer may be silent: longer than a service needs to come back, several times over.
const PATIENCE: Duration = Duration::from_secs(100);
/// Bytes of one write of a stream.
const CHUNK: usize = 4096;

/// As `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// So many bytes that nobody can know.
pub fn random(bytes: usize) -> Result<Vec<u8>> {
    let mut content = vec![0; bytes];
    std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut content))?;
    Ok(content)
}

fn listen() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on the loopback")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// A web server: what it is asked for is its content, what it is sent it keeps.
pub struct Web {
    /// Its port.
    pub port: u16,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// A server of `content`.
    pub fn start(content: Vec<u8>) -> Result<Self> {
        let (listener, port) = listen()?;
        let (received, is_over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (store, end) = (Arc::clone(&received), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                // A client that goes away is the client's own test's matter.
                let _ = stream.map_err(anyhow::Error::from).and_then(|stream| answer(stream, &content, &store));
            }
        });
        Ok(Self { port, received, is_over, thread: Some(thread) })
    }

    /// What it was sent so far.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it. If that fails it has ended.
        if TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).is_ok() {
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }
}

/// One request and its answer. What the client sends is in `received` before the client knows that it has arrived.
fn answer(stream: TcpStream, content: &[u8], received: &Mutex<Vec<Vec<u8>>>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(&stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let is_sent = request.starts_with("POST ");
    let mut body = vec![0; if is_sent { length } else { 0 }];
    reader.read_exact(&mut body)?;
    if is_sent {
        received.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    }
    let content = if is_sent { b"thanks\n" } else { content };
    let mut writer = &stream;
    write!(writer, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", content.len())?;
    writer.write_all(content)?;
    Ok(())
}

/// What went over one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes.
    pub bytes: u64,
    /// Their checksum, as `sha256sum` prints it.
    pub sum: String,
}

/// A server that sends one client without end, until it is told to stop.
pub struct Stream {
    /// Its port.
    pub port: u16,
    has_begun: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Sent>>,
}

impl Stream {
    /// Waits for its client.
    pub fn start() -> Result<Self> {
        let (listener, port) = listen()?;
        let (has_begun, is_over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (begun, over) = (Arc::clone(&has_begun), Arc::clone(&is_over));
        let block = random(CHUNK)?;
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            // Closed: who connects anew is refused, and the test sees it.
            drop(listener);
            begun.store(true, Ordering::Relaxed);
            send(stream, block, &over)
        });
        Ok(Self { port, has_begun, is_over, thread })
    }

    /// Whether its client is there.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Ends the stream in order; what its client must have got.
    pub fn end(self) -> Result<Sent> {
        ensure!(self.has_begun(), "nobody ever connected to port {} of the host", self.port);
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the server panicked")))
    }
}

fn send(mut stream: TcpStream, mut block: Vec<u8>, is_over: &AtomicBool) -> Result<Sent> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    while !is_over.load(Ordering::Relaxed) {
        // Each block is another, and so is what comes when one is lost or doubled.
        block.iter_mut().zip(bytes.to_le_bytes()).for_each(|(byte, new)| *byte = new);
        stream.write_all(&block).with_context(|| format!("the client went away after {bytes} bytes"))?;
        hash.update(&block);
        bytes += block.len() as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // The client closes when it has everything.
    let rest = stream.read(&mut [0; 1]);
    let is_closed = match &rest {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    ensure!(is_closed, "the client of the stream said {rest:?} at its end");
    Ok(Sent { bytes, sum: hex(&hash.finalize()) })
}

/// Connects to a port of the host's, sends `bytes`, and returns all that comes back.
pub fn converse(port: u16, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("cannot connect to the forwarded port")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(bytes).context("cannot send to the forwarded port")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("no answer from the forwarded port")?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_server_gives_and_takes() {
        let web = Web::start(b"content".to_vec()).unwrap();
        let got = converse(web.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(got.ends_with(b"\r\n\r\ncontent"), "{got:?}");
        converse(web.port, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody").unwrap();
        assert_eq!(web.received(), [b"body".to_vec()]);
    }

    #[test]
    fn a_stream_ends_when_told_to_and_knows_what_it_sent() {
        let stream = Stream::start().unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, stream.port)).unwrap();
        let mut first = vec![0; CHUNK];
        client.read_exact(&mut first).unwrap();
        let reader = std::thread::spawn(move || {
            client.read_to_end(&mut first).unwrap();
            first
        });
        let sent = stream.end().unwrap();
        let got = reader.join().unwrap();
        assert_eq!((got.len() as u64, sha256(&got)), (sent.bytes, sent.sum));
    }
}
