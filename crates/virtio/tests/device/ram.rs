//! [`Ram`]: a partition's RAM of two banks, which refuses and counts what lies outside.

use addr::Ipa;
use std::cell::Cell;
use virtio::{GuestMemory, Outside};

/// Where the first bank begins.
pub const LOW: u64 = 0x4000_0000;
/// Where the second one does: right behind a hole.
pub const HIGH: u64 = 0x8000_0000;

/// Two banks of the same size.
pub struct Ram {
    banks: [(u64, Vec<Cell<u8>>); 2],
    refused: Cell<usize>,
}

impl Ram {
    /// `bytes` of zeroes in each bank.
    pub fn new(bytes: usize) -> Self {
        Self { banks: [LOW, HIGH].map(|base| (base, vec![Cell::new(0); bytes])), refused: Cell::new(0) }
    }
    /// Accesses outside so far. The crate asks first, so there are none.
    pub fn refused(&self) -> usize {
        self.refused.get()
    }
    /// Puts bytes anywhere in RAM.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        self.write(Ipa::new(at), bytes).expect("a test writes to RAM");
    }
    /// Bytes from anywhere in RAM.
    pub fn get<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(Ipa::new(at), &mut bytes).expect("a test reads RAM");
        bytes
    }
    pub fn put_u16(&self, at: u64, value: u16) {
        self.put(at, &value.to_le_bytes());
    }
    pub fn get_u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.get(at))
    }

    fn range(&self, at: Ipa, bytes: u64) -> Option<&[Cell<u8>]> {
        self.banks.iter().find_map(|(base, bank)| {
            let from = at.as_u64().checked_sub(*base)?;
            let to = from.checked_add(bytes)?;
            bank.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
        })
    }
    fn access(&self, at: Ipa, bytes: usize) -> Result<&[Cell<u8>], Outside> {
        self.range(at, bytes as u64).ok_or_else(|| {
            self.refused.set(self.refused.get() + 1);
            Outside { at, bytes: bytes as u64 }
        })
    }
}

impl GuestMemory for Ram {
    fn read(&self, at: Ipa, into: &mut [u8]) -> Result<(), Outside> {
        let cells = self.access(at, into.len())?;
        into.iter_mut().zip(cells).for_each(|(byte, cell)| *byte = cell.get());
        Ok(())
    }
    fn write(&self, at: Ipa, bytes: &[u8]) -> Result<(), Outside> {
        let cells = self.access(at, bytes.len())?;
        bytes.iter().zip(cells).for_each(|(byte, cell)| cell.set(*byte));
        Ok(())
    }
    fn load_u16(&self, at: Ipa) -> Result<u16, Outside> {
        assert_eq!(at.as_u64() % 2, 0, "misaligned load at {at}");
        let mut bytes = [0; 2];
        self.read(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }
    fn store_u16(&self, at: Ipa, value: u16) -> Result<(), Outside> {
        assert_eq!(at.as_u64() % 2, 0, "misaligned store at {at}");
        self.write(at, &value.to_le_bytes())
    }
    fn contains(&self, at: Ipa, bytes: u64) -> bool {
        self.range(at, bytes).is_some()
    }
    fn fence(&self) {}
}
