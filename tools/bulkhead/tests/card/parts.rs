//! What a good card is made of, for tests that then take something away.

#[path = "../made/el2.rs"]
mod made;

use bulkhead::card::image::{Disk, write};
use dtoolkit::model::{DeviceTree, DeviceTreeProperty};
pub use made::EL2_SIZE;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The parts of a card.
#[derive(Clone)]
pub struct Parts {
    /// kernel8.img.
    pub kernel: Vec<u8>,
    /// The other files of the boot partition.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Parts {
    /// Those of a card that would start.
    pub fn good() -> Self {
        static KERNEL: OnceLock<Vec<u8>> = OnceLock::new();
        let kernel = KERNEL.get_or_init(|| bundle("rpi4")).clone();
        let files = [
            ("start4.elf", firmware()),
            ("fixup4.dat", vec![7; 700]),
            ("LICENCE.firmware", b"words\n".to_vec()),
            ("bcm2711-rpi-4-b.dtb", tree("Raspberry Pi 4 Model B", "raspberrypi,4-model-b")),
        ];
        Self { kernel, files: files.map(|(name, content)| (name.to_owned(), content)).into() }
    }

    /// Adds a line to the default config.txt: its 21st.
    pub fn set(&mut self, line: &str) {
        let config = format!("{}{line}\n", bulkhead::card::config::DEFAULT);
        self.files.insert("config.txt".to_owned(), config.into_bytes());
    }

    /// Writes the card as an image; returns it and its folder.
    pub fn write(&self) -> (PathBuf, PathBuf) {
        let folder = new_folder("card");
        let boot = folder.join("boot");
        fs::create_dir_all(&boot).unwrap();
        for (name, content) in &self.files {
            fs::write(boot.join(name), content).unwrap();
        }
        fs::write(folder.join("kernel"), &self.kernel).unwrap();
        fs::write(folder.join("disk"), [0x5a; 8192]).unwrap();
        let image = folder.join("card.img");
        let disks = [Disk::Copy(folder.join("disk")), Disk::Empty(1 << 20)];
        write(&image, &folder.join("kernel"), &boot, &disks).unwrap();
        (image, folder)
    }

    /// The card itself.
    pub fn card(&self) -> Sparse {
        let (image, folder) = self.write();
        let mut bytes = vec![0; USED];
        let mut file = fs::File::open(image).unwrap();
        file.read_exact(&mut bytes).unwrap();
        let size = file.metadata().unwrap().len();
        fs::remove_dir_all(folder).unwrap();
        Sparse { bytes, size, at: 0 }
    }
}

/// Bytes from the start of a card in which all of its boot partition's content lies.
const USED: usize = 6 << 20;

/// A card whose bytes are zeros from some place on.
#[derive(Clone)]
pub struct Sparse {
    /// What is not zeros.
    pub bytes: Vec<u8>,
    /// How many bytes there are in all.
    pub size: u64,
    at: u64,
}

impl Read for Sparse {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = (into.len() as u64).min(self.size.saturating_sub(self.at)) as usize;
        let into = &mut into[..count];
        into.fill(0);
        let held = self.bytes.get(self.at as usize..).unwrap_or_default();
        let held = &held[..held.len().min(count)];
        into[..held.len()].copy_from_slice(held);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.size.checked_add_signed(by).unwrap(),
            SeekFrom::Current(by) => self.at.checked_add_signed(by).unwrap(),
        };
        Ok(self.at)
    }
}

/// Where the boot partition's root folder begins (0), its first allocation table (1), the second (2).
pub fn boot_partition(card: &Sparse, part: usize) -> usize {
    const START: usize = 4 << 20;
    let boot = &card.bytes[START..];
    let reserved = usize::from(u16::from_le_bytes([boot[14], boot[15]]));
    let table = u32::from_le_bytes(boot[36..40].try_into().unwrap()) as usize;
    START + 512 * (reserved + table * [2, 0, 1][part])
}

/// A folder that no other test has.
fn new_folder(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The image of a system with one partition on `board`.
pub fn bundle(board: &str) -> Vec<u8> {
    bundle_with(&format!("board = \"{board}\"\n"), "")
}

/// The image of a system for the Raspberry Pi 4 whose one partition has `keys`, beside a service partition.
pub fn served(keys: &str) -> Vec<u8> {
    bundle_with("board = \"rpi4\"\n[service]\ncores = [0]\nkernel = \"service.elf\"\n", keys)
}

fn bundle_with(head: &str, keys: &str) -> Vec<u8> {
    let folder = new_folder("bundle");
    let put = |name: &str, content: &[u8]| fs::write(folder.join(name), content).unwrap();
    put("el2.elf", &made::el2());
    put("kernel.bin", &[0x14; 5000]);
    put("service.elf", &service());
    let partition = "[[partition]]\nname = \"control\"\ncores = [3]\nmemory = \"8M\"\nkernel = \"kernel.bin\"\n";
    put("system.toml", format!("{head}{partition}{keys}\n").as_bytes());
    let arguments = ["build", "system.toml", "-o", "image", "--hypervisor", "el2.elf"];
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead")).current_dir(&folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let image = fs::read(folder.join("image")).unwrap();
    fs::remove_dir_all(folder).unwrap();
    image
}

/// A position-independent ELF file with one segment, as the service partition's.
fn service() -> Vec<u8> {
    let mut elf = vec![0; 64 + 56];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (elf[16], elf[18], elf[32], elf[54], elf[56]) = (3, 183, 64, 56, 1);
    elf[24] = 0x40;
    elf[64] = 1;
    for (place, word) in elf[72..].chunks_exact_mut(8).zip([0, 0, 0, 64, 64, 4096_u64]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    elf
}

/// A device tree whose root says what board it is for.
pub fn tree(model: &str, compatible: &str) -> Vec<u8> {
    let mut tree = DeviceTree::new();
    let values = [("compatible", format!("{compatible}\0brcm,bcm2711\0")), ("model", format!("{model}\0"))];
    for (name, value) in values {
        tree.root.add_property(DeviceTreeProperty::new(name, value.into_bytes()).unwrap());
    }
    tree.to_dtb()
}

/// An ELF file of 32 bits for the GPU, with one segment.
fn firmware() -> Vec<u8> {
    const HEADERS: usize = 52 + 32;
    let mut file = vec![0; HEADERS + 2000];
    file[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    (file[16], file[18], file[20]) = (2, 137, 1);
    (file[28], file[40], file[42], file[44]) = (52, 52, 32, 1);
    let segment = [1, HEADERS as u32, 0, 0, 2000, 2000, 5, 4];
    let raw: Vec<u8> = segment.iter().flat_map(|word| word.to_le_bytes()).collect();
    file[52..HEADERS].copy_from_slice(&raw);
    file
}
