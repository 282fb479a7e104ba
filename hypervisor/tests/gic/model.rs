//! A GIC-400 with one core, as a driver at EL2 sees it: on the non-secure side of the security extensions, or without
//! them (Arm IHI 0048B, sections 3.8, 4.3 and 4.4; the virtual interface as far as the driver tries it out).
//!
//! One model for each thread, so that tests do not meet.

use abi::IntId;
use addr::Pa;
use std::cell::RefCell;
use std::sync::OnceLock;

/// What was there before the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// Security extensions; the firmware has moved every interrupt to group 1, as the Raspberry Pi's does.
    GroupOne,
    /// Security extensions; the firmware has done nothing of that kind.
    KeepsAll,
    /// No security extensions, everything as at reset.
    Nothing,
    /// No security extensions; a boot loader has set the groups nevertheless.
    NothingButGroups,
}

/// 32 private interrupts and 192 SPIs.
const INTIDS: usize = 224;
/// Implemented bits of a priority: 32 levels.
const PRIORITY_BITS: u8 = 0xf8;
const IDLE: u8 = 0xff;
/// Number of the CPU interface.
const CPU: u8 = 2;

#[derive(Clone, Copy, Default)]
struct Interrupt {
    is_group_1: bool,
    is_enabled: bool,
    is_latched: bool,
    is_active: bool,
    is_edge: bool,
    line: bool,
    /// As the secure side sees it.
    priority: u8,
    targets: u8,
}

impl Interrupt {
    fn is_pending(&self) -> bool {
        self.is_latched || (!self.is_edge && self.line)
    }
}

struct Model {
    /// Whether accesses come from the non-secure side of security extensions.
    is_non_secure: bool,
    interrupts: [Interrupt; INTIDS],
    /// Groups 0 and 1, at the distributor and at the CPU interface.
    gicd_enable: [bool; 2],
    gicc_enable: [bool; 2],
    /// GICC_CTLR.AckCtl.
    acknowledges_all: bool,
    /// GICC_CTLR.EOImode of this side.
    is_split: bool,
    /// As the secure side sees it.
    mask: u8,
    running: Vec<u8>,
    list_register: u32,
    is_virtual_enabled: bool,
    is_virtual_active: bool,
}

thread_local! {
    static MODEL: RefCell<Option<Model>> = const { RefCell::new(None) };
}

/// What the driver's references point to: never read, the model answers for its addresses.
#[repr(align(4096))]
struct Space([u8; 0x8000]);

fn base() -> usize {
    static SPACE: OnceLock<Box<Space>> = OnceLock::new();
    SPACE.get_or_init(|| Box::new(Space([0; 0x8000]))).0.as_ptr() as usize
}

/// Where the model answers for `pa` of the GIC.
pub fn address_of(pa: Pa) -> usize {
    base() + (pa.as_u64() as usize & 0x7fff)
}

/// A machine just handed over by `firmware`.
pub fn start(firmware: Firmware) {
    let is_non_secure = matches!(firmware, Firmware::GroupOne | Firmware::KeepsAll);
    let is_group_1 = matches!(firmware, Firmware::GroupOne | Firmware::NothingButGroups);
    let mut interrupts = [Interrupt { is_group_1, ..Interrupt::default() }; INTIDS];
    interrupts[..32].iter_mut().for_each(|interrupt| interrupt.targets = 1 << CPU);
    interrupts[..16].iter_mut().for_each(|interrupt| interrupt.is_edge = true);
    let model = Model {
        is_non_secure,
        interrupts,
        gicd_enable: [is_non_secure; 2],
        gicc_enable: [is_non_secure; 2],
        acknowledges_all: false,
        is_split: false,
        // Secure firmware opens the mask, or the non-secure side can never set it.
        mask: if is_non_secure { PRIORITY_BITS } else { 0 },
        running: Vec::new(),
        list_register: 0,
        is_virtual_enabled: false,
        is_virtual_active: false,
    };
    MODEL.with_borrow_mut(|own| *own = Some(model));
}

fn with<R>(work: impl FnOnce(&mut Model) -> R) -> R {
    MODEL.with_borrow_mut(|own| work(own.as_mut().expect("a model was started")))
}

/// Raises or lowers an interrupt's line.
pub fn set_line(intid: IntId, level: bool) {
    with(|model| {
        let interrupt = &mut model.interrupts[intid.index()];
        interrupt.is_latched |= interrupt.is_edge && level && !interrupt.line;
        interrupt.line = level;
    });
}

/// Whether the core's IRQ is asserted.
pub fn is_signalled() -> bool {
    with(|model| model.highest().is_some_and(|intid| model.is_taken(intid)))
}

/// Whether the interrupt is active.
pub fn is_active(intid: IntId) -> bool {
    with(|model| model.interrupts[intid.index()].is_active)
}

/// The interrupt's priority as the secure side sees it.
pub fn priority(intid: IntId) -> u8 {
    with(|model| model.interrupts[intid.index()].priority)
}

/// A load of `bytes` from the register at `address`.
pub fn read(address: usize, bytes: usize) -> u32 {
    let offset = address - base();
    with(|model| match offset & 0x7000 {
        0x1000 => model.read_distributor(offset & 0xfff, bytes),
        0x2000 | 0x3000 => model.read_interface(offset & 0x1fff),
        0x4000 => model.read_virtual_control(offset & 0xfff),
        _ => model.read_virtual_interface(offset & 0x1fff),
    })
}

/// A store of `bytes` to the register at `address`.
pub fn write(address: usize, bytes: usize, value: u32) {
    let offset = address - base();
    with(|model| match offset & 0x7000 {
        0x1000 => model.write_distributor(offset & 0xfff, bytes, value),
        0x2000 | 0x3000 => model.write_interface(offset & 0x1fff, value),
        0x4000 => model.write_virtual_control(offset & 0xfff, value),
        _ => model.write_virtual_interface(offset & 0x1fff, value),
    });
}

impl Model {
    /// Those interrupts of a word or of bytes that this side may see (4.3: the others read as zero and ignore writes).
    fn visible(&mut self, first: usize, count: usize) -> impl Iterator<Item = (usize, &mut Interrupt)> {
        let hides = self.is_non_secure;
        let some = self.interrupts.iter_mut().skip(first).take(count).enumerate();
        some.filter(move |(_, interrupt)| !hides || interrupt.is_group_1)
    }

    fn bits(&mut self, offset: usize, is_set: impl Fn(&Interrupt) -> bool) -> u32 {
        let word = offset % 0x80 / 4;
        self.visible(word * 32, 32).filter(|(_, i)| is_set(i)).fold(0, |bits, (n, _)| bits | 1 << n)
    }

    fn change(&mut self, offset: usize, value: u32, change: impl Fn(&mut Interrupt)) {
        let word = offset % 0x80 / 4;
        self.visible(word * 32, 32).filter(|(n, _)| value >> n & 1 != 0).for_each(|(_, i)| change(i));
    }

    fn read_distributor(&mut self, offset: usize, bytes: usize) -> u32 {
        let is_non_secure = self.is_non_secure;
        match offset {
            0x000 if is_non_secure => u32::from(self.gicd_enable[1]),
            0x000 => u32::from(self.gicd_enable[0]) | u32::from(self.gicd_enable[1]) << 1,
            // Seven words, four CPUs, security extensions or not.
            0x004 => 6 | 3 << 5 | u32::from(is_non_secure) << 10,
            0x080..0x100 if is_non_secure => 0,
            0x080..0x100 => self.bits(offset, |i| i.is_group_1),
            0x100..0x200 => self.bits(offset, |i| i.is_enabled),
            0x200..0x300 => self.bits(offset, Interrupt::is_pending),
            0x300..0x400 => self.bits(offset, |i| i.is_active),
            0x400..0x800 => self
                .visible(offset - 0x400, bytes)
                .map(|(n, i)| (n, if is_non_secure { i.priority << 1 } else { i.priority }))
                .fold(0, |word, (n, priority)| word | u32::from(priority) << (8 * n)),
            0x800..0xc00 => {
                self.visible(offset - 0x800, bytes).fold(0, |word, (n, i)| word | u32::from(i.targets) << (8 * n))
            }
            0xc00..0xd00 => self
                .visible((offset - 0xc00) * 4, 16)
                .fold(0, |word, (n, i)| word | u32::from(i.is_edge) << (2 * n + 1)),
            _ => panic!("GICD offset {offset:#x} is not read by this driver"),
        }
    }

    fn write_distributor(&mut self, offset: usize, bytes: usize, value: u32) {
        let is_non_secure = self.is_non_secure;
        match offset {
            0x000 if is_non_secure => self.gicd_enable[1] = value & 1 != 0,
            0x000 => self.gicd_enable = [value & 1 != 0, value & 2 != 0],
            0x080..0x100 if is_non_secure => {}
            0x080..0x100 => {
                self.change(offset, value, |i| i.is_group_1 = true);
                self.change(offset, !value, |i| i.is_group_1 = false);
            }
            0x100..0x180 => self.change(offset, value, |i| i.is_enabled = true),
            // SGIs stay enabled on a GIC-400.
            0x180..0x200 => self.change(offset, value, |i| i.is_enabled = false),
            0x200..0x280 => self.change(offset, value, |i| i.is_latched = true),
            0x280..0x300 => self.change(offset, value, |i| i.is_latched = false),
            0x380..0x400 => self.change(offset, value, |i| i.is_active = false),
            0x400..0x800 => {
                for (n, interrupt) in self.visible(offset - 0x400, bytes) {
                    let written = (value >> (8 * n)) as u8;
                    // 3.8.3: what is non-secure is in the lower half of the range.
                    let whole = if is_non_secure { 0x80 | written >> 1 } else { written };
                    interrupt.priority = whole & PRIORITY_BITS;
                }
            }
            // Those of private interrupts are read-only.
            0x800..0x820 => {}
            0x820..0xc00 => self
                .visible(offset - 0x800, bytes)
                .for_each(|(n, interrupt)| interrupt.targets = (value >> (8 * n)) as u8 & 0xf),
            0xc08..0xd00 => self
                .visible((offset - 0xc00) * 4, 16)
                .for_each(|(n, interrupt)| interrupt.is_edge = value >> (2 * n + 1) & 1 != 0),
            0xf00 => {
                let is_own = value >> 24 & 3 == 0 && value >> 16 & 1 << CPU != 0;
                let own = self.visible((value & 0xf) as usize, 1).filter(|_| is_own);
                own.for_each(|(_, interrupt)| interrupt.is_latched = true);
            }
            _ => panic!("GICD offset {offset:#x} is not written by this driver"),
        }
    }

    /// The pending interrupt that the CPU interface would signal first.
    fn highest(&self) -> Option<usize> {
        let running = self.running.last().copied().unwrap_or(IDLE);
        let some = self.interrupts.iter().enumerate().filter(|(_, i)| {
            let group = usize::from(i.is_group_1);
            let is_forwarded = self.gicd_enable[group] && self.gicc_enable[group];
            let is_wanted = i.is_enabled && i.is_pending() && !i.is_active && i.targets & 1 << CPU != 0;
            is_forwarded && is_wanted && i.priority < self.mask && i.priority < running
        });
        some.min_by_key(|(_, i)| i.priority).map(|(intid, _)| intid)
    }

    /// Whether the core hears of it: group 0 of security extensions goes to the secure side.
    fn is_taken(&self, intid: usize) -> bool {
        !self.is_non_secure || self.interrupts[intid].is_group_1
    }

    fn acknowledge(&mut self) -> u32 {
        let Some(intid) = self.highest() else { return 1023 };
        let is_group_1 = self.interrupts[intid].is_group_1;
        if self.is_non_secure && !is_group_1 {
            return 1023;
        }
        // 4.4.4: without security extensions group 1 needs AckCtl, or the alias of this register.
        if !self.is_non_secure && is_group_1 && !self.acknowledges_all {
            return 1022;
        }
        let interrupt = &mut self.interrupts[intid];
        interrupt.is_latched = false;
        interrupt.is_active = true;
        self.running.push(interrupt.priority);
        // The source of an SGI is in bits 12 to 10.
        intid as u32 | if intid < 16 { u32::from(CPU) << 10 } else { 0 }
    }

    /// 4.4.5 and 4.4.15: the other side's interrupts are not ended from here.
    fn deactivate(&mut self, value: u32) {
        if let Some((_, interrupt)) = self.visible((value & 0x3ff) as usize, 1).next() {
            interrupt.is_active = false;
        }
    }

    fn read_interface(&mut self, offset: usize) -> u32 {
        match offset {
            0x00 => u32::from(self.gicc_enable[1]),
            0x04 if self.is_non_secure && self.mask < 0x80 => 0,
            0x04 if self.is_non_secure => u32::from(self.mask << 1),
            0x04 => self.mask.into(),
            0x0c => self.acknowledge(),
            _ => panic!("GICC offset {offset:#x} is not read by this driver"),
        }
    }

    fn write_interface(&mut self, offset: usize, value: u32) {
        let bit = |n: u32| value >> n & 1 != 0;
        match offset {
            // The non-secure copy: EnableGrp1 and EOImodeNS.
            0x00 if self.is_non_secure => (self.gicc_enable[1], self.is_split) = (bit(0), bit(9)),
            // EnableGrp0, EnableGrp1, AckCtl, EOImode. FIQEn would send group 0 elsewhere.
            0x00 => {
                assert!(!bit(3), "group 0 as FIQ, which EL2 does not take");
                self.gicc_enable = [bit(0), bit(1)];
                (self.acknowledges_all, self.is_split) = (bit(2), bit(9));
            }
            // 4.4.2: a mask that the secure side holds in the upper half is not to change.
            0x04 if self.is_non_secure && self.mask < 0x80 => {}
            0x04 if self.is_non_secure => self.mask = (0x80 | (value as u8) >> 1) & PRIORITY_BITS,
            0x04 => self.mask = value as u8 & PRIORITY_BITS,
            0x08 => {}
            0x10 => {
                self.running.pop();
                if !self.is_split {
                    self.deactivate(value);
                }
            }
            0x1000 => {
                assert!(self.is_split, "GICC_DIR without EOImode is unpredictable");
                self.deactivate(value);
            }
            _ => panic!("GICC offset {offset:#x} is not written by this driver"),
        }
    }

    fn read_virtual_control(&mut self, offset: usize) -> u32 {
        match offset {
            // Four list registers.
            0x004 => 0x9000_0003,
            0x030 => 0xf & !u32::from(self.list_register != 0),
            0x100 => self.list_register,
            _ => 0,
        }
    }

    fn write_virtual_control(&mut self, offset: usize, value: u32) {
        if offset == 0x100 {
            self.list_register = value;
        }
    }

    fn read_virtual_interface(&mut self, offset: usize) -> u32 {
        // Pending, in a list register of group 0, and the interface is on.
        if offset != 0x0c || !self.is_virtual_enabled || self.list_register >> 28 & 3 != 1 {
            return 1023;
        }
        self.is_virtual_active = true;
        self.list_register & 0x3ff
    }

    fn write_virtual_interface(&mut self, offset: usize, value: u32) {
        match offset {
            0x00 => self.is_virtual_enabled = value & 1 != 0,
            // The end of a hardware-linked interrupt deactivates the physical one.
            0x10 if self.is_virtual_active => {
                let physical = self.list_register >> 10 & 0x3ff;
                (self.is_virtual_active, self.list_register) = (false, 0);
                self.deactivate(physical);
            }
            _ => {}
        }
    }
}
