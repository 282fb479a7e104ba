//! From a system file to a placed and validated system: every mistake of the file in one run.

mod ingredients;

use crate::board::{PLATFORMS, Platform};
use crate::diagnostic::Diagnostic;
use crate::file::{Given, PartitionFile, Source, SystemFile};
use crate::fit::{self, Fit, Pins};
use crate::image::{EL2_MAX, Store, crc32c, lay_out};
use crate::kernel::{Bytes, Kernel};
use crate::locate::{self, Known};
use crate::place::Space;
use crate::tree::{self, GicVersion, Guest, Registers, TREE_MAX};
use abi::{CoreId, machine};
use addr::{Ipa, Pa, Region};
use ingredients::Ingredients;
use manifest::{
    Bank, Board, ConsoleMode, DeviceId, Mistake, OnPanic, Partition, Payload, PayloadKind, System, WhenAllStopped,
};
use std::sync::Arc;

/// A system without mistakes, and the bytes that go with it.
#[derive(Debug)]
pub struct Plan {
    /// The board.
    pub platform: &'static Platform,
    /// The manifest. Payload offsets and bundle size are for an EL2 binary of the largest size.
    pub system: System,
    /// `contents[p][n]`: the bytes of payload `n` of partition `p`.
    pub contents: Vec<Vec<Bytes>>,
    /// The format of each partition's kernel.
    pub formats: Vec<&'static str>,
}

/// Plans what `source` says; the mistakes, if it has any.
pub fn plan(source: &Source) -> Result<Plan, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let file = crate::file::parse(&source.text, &mut found);
    let plan = make(source, &file, &mut found);
    match plan {
        Some(plan) if found.is_empty() => Ok(plan),
        _ => Err(found),
    }
}

fn make(source: &Source, file: &SystemFile, found: &mut Vec<Diagnostic>) -> Option<Plan> {
    let mut shelf = ingredients::Shelf::default();
    let ingredients: Vec<Ingredients> =
        file.partitions.iter().map(|partition| shelf.fetch(source, partition, found)).collect();
    // Without a board, names and cores can still be judged, on any board.
    let platform = file.board.value().copied().unwrap_or(&PLATFORMS[0]);
    let board = platform.board;
    let machine = file.machine(board);

    let mut builder = Builder { board, file, ingredients: &ingredients, known: Vec::new(), late: Vec::new() };
    let placed = builder.system(machine);
    let Builder { known, mut late, .. } = builder;
    let is_board_known = file.board.value().is_some();
    let mut mistakes = if is_board_known { machine_mistakes(file, board) } else { Vec::new() };
    if let Some((system, _)) = placed.as_ref().filter(|_| mistakes.is_empty()) {
        manifest::validate(board, system, &mut |mistake| mistakes.push(mistake));
    } else {
        // What does not fit a machine that cannot be is no further mistake.
        late.retain(|_| mistakes.is_empty());
    }
    if board.trees(machine).count() > 1 {
        mistakes.retain(|mistake| !locate::is_about_the_v2_tree(mistake));
    }
    if !is_board_known {
        mistakes.retain(locate::needs_no_board);
        late.clear();
    }
    found.extend(late);
    found.extend(mistakes.iter().filter_map(|mistake| locate::diagnose(file, &known, mistake)));
    if let (true, Some(mistake)) = (found.is_empty(), mistakes.first()) {
        // A consequence of nothing that was reported: it is told, wherever it comes from.
        let span = file.board.span().unwrap_or(0..0);
        found.push(Diagnostic::new(span, mistake.problem().to_string(), mistake.mend().to_string()));
    }
    let (system, contents) = placed?;
    let formats = ingredients.iter().map(|i| i.kernel.as_ref().map_or("", |kernel| kernel.format())).collect();
    Some(Plan { platform, system, contents, formats })
}

/// What is wrong with the machine that `file` asks for, whatever it is to run.
pub fn machine_mistakes(file: &SystemFile, board: &Board) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let Some(pool) = whole(board) else { return mistakes };
    manifest::validate(board, &empty(file, board, pool), &mut |mistake| mistakes.push(mistake));
    mistakes.retain(locate::is_about_the_machine);
    mistakes
}

/// A pool that is large enough for any system, until there is one with a place.
fn whole(board: &Board) -> Option<Region<Pa>> {
    Region::new(board.load_address, u64::MAX >> 1)
}

/// The system of `file` without partitions.
fn empty(file: &SystemFile, board: &Board, pool: Region<Pa>) -> System {
    System {
        board: board.name.try_into().unwrap_or_default(),
        machine: file.machine(board),
        console: file.console.value().copied().unwrap_or(ConsoleMode::Interactive),
        when_all_stopped: file.when_all_stopped.value().copied().unwrap_or(WhenAllStopped::PowerOff),
        scrub_at_boot: file.scrub_at_boot.value().copied().unwrap_or(false),
        on_hypervisor_panic: file.on_hypervisor_panic.value().copied().unwrap_or(OnPanic::Stop),
        pool,
        bundle_size: 0,
        partitions: heapless::Vec::new(),
        service: None,
    }
}

/// A system in the making.
struct Builder<'a> {
    board: &'static Board,
    file: &'a SystemFile,
    ingredients: &'a [Ingredients],
    /// What is known of each partition: mistakes about the rest are consequences.
    known: Vec<Known>,
    /// Mistakes of placement, dropped if the machine itself is wrong.
    late: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn system(&mut self, said: manifest::Machine) -> Option<(System, Vec<Vec<Bytes>>)> {
        let bundle_max = self.bundle_max();
        let mut space = Space::of(self.board, said, bundle_max);
        let mut banks = self.pinned(&mut space);
        self.place(&mut space, &mut banks);
        let mut system = empty(self.file, self.board, whole(self.board)?);
        let mut contents = Vec::new();
        for (place, bank) in banks.into_iter().enumerate() {
            let (partition, bytes) = self.partition(place, bank, said);
            // The parser stops at the limit.
            system.partitions.push(partition).ok()?;
            contents.push(bytes);
        }
        let pool_size = manifest::pool_size(&system);
        // Below the partitions, far from the bundle: firmware may put that elsewhere than the board's facts say.
        let Some(pool) = space.take_highest(pool_size) else {
            let span = self.file.board.span().unwrap_or(0..0);
            let title = format!("no room for the hypervisor's frame pool of {}", addr::ByteSize(pool_size));
            self.late.push(Diagnostic::new(span, title, "give the partitions less memory"));
            return None;
        };
        system.pool = pool;
        let manifest_offset = EL2_MAX;
        lay_out(&mut system, &contents, manifest_offset);
        Some((system, contents))
    }

    /// The most that the bundle can take, whatever the size of the EL2 binary.
    fn bundle_max(&self) -> u64 {
        let mut store = Store::behind(EL2_MAX);
        for Ingredients { kernel, initrd } in self.ingredients {
            for bytes in kernel.iter().flat_map(|kernel| kernel.contents()).chain(initrd) {
                store.add(crc32c(bytes), bytes);
            }
        }
        store.end() + self.ingredients.len() as u64 * 2 * TREE_MAX
    }

    /// Takes the pinned ranges.
    fn pinned(&mut self, space: &mut Space) -> Vec<Option<Region<Pa>>> {
        let mut banks = Vec::new();
        for partition in &self.file.partitions {
            let at = partition.memory_at.value().zip(partition.memory.value());
            let bank = at.and_then(|(at, size)| Region::new(Pa::new(*at), *size));
            if let (Some((at, _)), None, Some(span)) = (at, bank, partition.memory_at.span()) {
                let title = format!("{} ends above 64 bits from {}", partition.title(), Pa::new(*at));
                self.late.push(Diagnostic::new(span, title, "leave `memory_at` out"));
            }
            bank.inspect(|bank| space.take(bank));
            banks.push(bank);
        }
        banks
    }

    /// Finds room for the others: whole gibibytes first, so that they get their boundaries.
    fn place(&mut self, space: &mut Space, banks: &mut [Option<Region<Pa>>]) {
        let mut order: Vec<usize> = (0..banks.len()).collect();
        let size = |place: &usize| self.file.partitions[*place].memory.value().copied().unwrap_or(0);
        order.sort_by_key(|place| std::cmp::Reverse(size(place) >> 30));
        for place in order {
            let partition = &self.file.partitions[place];
            let Given::Is(size, span) = &partition.memory else { continue };
            if partition.memory_at != Given::Absent || *size == 0 {
                continue;
            }
            banks[place] = space.take_highest(*size);
            if banks[place].is_none() {
                let (wanted, largest) = (addr::ByteSize(*size), addr::ByteSize(space.largest()));
                let title = format!("no room for {wanted} of memory for {}", partition.title());
                let help = if self.board.is_variable {
                    "ask for less, or give the machine more: machine = { memory = \"8G\" }"
                } else {
                    "ask for less"
                };
                let label = format!("the largest piece of RAM that is left has {largest}");
                self.late.push(Diagnostic::new(span.clone(), title, help).label(label));
            }
        }
    }

    fn partition(&mut self, place: usize, pa: Option<Region<Pa>>, said: manifest::Machine) -> (Partition, Vec<Bytes>) {
        let file = &self.file.partitions[place];
        let is_identity = file.identity.value().copied().unwrap_or(false);
        let devices = self.devices(file);
        let start = |pa: Region<Pa>| if is_identity { Ipa::new(pa.start().as_u64()) } else { machine::RAM };
        let bank = pa.map(|pa| Bank { ipa: start(pa), pa });
        let mut partition = Partition {
            name: file.name.value().and_then(|name| name.as_str().try_into().ok()).unwrap_or_default(),
            cores: file
                .cores
                .value()
                .into_iter()
                .flatten()
                .take(abi::MAX_CORES)
                .map(|(n, _)| CoreId::new(*n))
                .collect(),
            banks: bank.into_iter().collect(),
            is_identity,
            entry: Ipa::default(),
            device_tree: Ipa::default(),
            payloads: heapless::Vec::new(),
            devices: devices.iter().take(manifest::MAX_DEVICES).map(|(id, _)| *id).collect(),
            virtio: heapless::Vec::new(),
            policy: file.policy(),
            watchdog_ms: file.watchdog.value().copied().unwrap_or(0),
        };
        let contents = bank.and_then(|bank| self.fill(place, &mut partition, &bank, said));
        self.known.push(Known { memory: pa.is_some(), payloads: contents.is_some() });
        (partition, contents.unwrap_or_default())
    }

    fn devices(&mut self, file: &PartitionFile) -> Vec<(DeviceId, &'static manifest::Device)> {
        let mut devices = Vec::new();
        let names = || self.board.devices.iter().map(|device| device.name);
        let Given::Is(wanted, span) = &file.devices else { return devices };
        if wanted.len() > manifest::MAX_DEVICES {
            let title = format!("{} lists {} devices", file.title(), wanted.len());
            let help = format!("give it at most {}", manifest::MAX_DEVICES);
            self.late.push(Diagnostic::new(span.clone(), title, help));
        }
        for (name, span) in wanted {
            let position = self.board.devices.iter().position(|device| device.name == name);
            match position {
                Some(id) => devices.push((DeviceId(id as u8), &self.board.devices[id])),
                None => {
                    let title = format!("board '{}' has no device '{name}' to assign", self.board.name);
                    let help = match crate::near::nearest(name, names()) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None if self.board.devices.is_empty() => "leave `devices` out".to_owned(),
                        None => format!("its devices are {}", crate::near::list(names())),
                    };
                    self.late.push(Diagnostic::new(span.clone(), title, help));
                }
            }
        }
        devices
    }

    /// Gives `partition` its payloads; `None` when something is missing or does not fit, which is then reported.
    fn fill(
        &mut self,
        place: usize,
        partition: &mut Partition,
        bank: &Bank,
        said: manifest::Machine,
    ) -> Option<Vec<Bytes>> {
        let file = &self.file.partitions[place];
        let kernel = self.ingredients[place].kernel.clone()?;
        let initrd = self.ingredients[place].initrd.clone();
        let is_initrd_missing = initrd.is_none() && file.initrd != Given::Absent;
        let is_form_wrong = file.kernel_at.is_wrong() || file.device_tree_at.is_wrong() || file.cores.is_wrong();
        if is_initrd_missing || is_form_wrong || bank.pa.size() < manifest::MEMORY_MIN {
            return None;
        }
        let ram = bank.guest()?;
        let devices: Vec<_> =
            partition.devices.iter().filter_map(|id| self.board.devices.get(usize::from(id.0))).collect();
        let mut guest = Guest {
            vcpus: partition.cores.len(),
            ram: &[ram],
            bootargs: file.bootargs.value().map(String::as_str),
            initrd: initrd.as_ref().map(|_| ram),
            devices: &devices,
            registers: if partition.is_identity { Registers::of(self.board) } else { Registers::GUEST },
            has_power_key: partition.has_power_key(self.board),
            watchdog_ms: partition.watchdog_ms,
        };
        let kinds: Vec<PayloadKind> = self.board.trees(said).collect();
        let build = |guest: &Guest<'_>| -> Vec<Bytes> {
            kinds.iter().map(|kind| tree::build(guest, version(*kind)).into()).collect()
        };
        // Addresses have a fixed width in a tree, so its size is known before they are.
        let tree_size = build(&guest).iter().map(|tree| tree.len()).max().unwrap_or(0) as u64;
        let initrd_size = initrd.as_ref().map_or(0, |initrd| initrd.len() as u64);
        let pins = Pins { kernel: file.kernel_at.value().copied(), device_tree: file.device_tree_at.value().copied() };
        let fit = match fit::fit(ram, &kernel, initrd_size, tree_size, pins) {
            Ok(fit) => fit,
            Err(misfit) => {
                self.late.push(locate::misfit(file, &kernel, ram, misfit));
                return None;
            }
        };
        guest.initrd = fit.initrd.and_then(|start| Region::new(start, initrd_size));
        let trees = build(&guest);
        let mut payloads = kernel_payloads(&kernel, &fit);
        payloads.extend(initrd.zip(fit.initrd).map(|(bytes, ipa)| (PayloadKind::Initrd, ipa, bytes, 0)));
        payloads.extend(kinds.iter().zip(trees).map(|(kind, tree)| (*kind, fit.device_tree, tree, 0)));
        partition.entry = fit.entry;
        partition.device_tree = fit.device_tree;
        let mut contents = Vec::new();
        for (kind, ipa, bytes, zeroed) in payloads {
            let size = bytes.len() as u64;
            let payload = Payload { kind, offset: 0, size, crc32c: crc32c(&bytes), ipa, zeroed };
            // ELF files with more segments were refused when they were read.
            partition.payloads.push(payload).ok()?;
            contents.push(bytes);
        }
        Some(contents)
    }
}

fn version(kind: PayloadKind) -> GicVersion {
    if kind == PayloadKind::DeviceTreeV2 { GicVersion::V2 } else { GicVersion::V3 }
}

/// A kernel's payloads: kind, address, bytes, zeros behind.
fn kernel_payloads(kernel: &Arc<Kernel>, fit: &Fit) -> Vec<(PayloadKind, Ipa, Bytes, u64)> {
    let at = fit.kernel.unwrap_or_default();
    match &**kernel {
        Kernel::Image { bytes, image_size, .. } => {
            vec![(PayloadKind::Kernel, at, bytes.clone(), image_size - bytes.len() as u64)]
        }
        Kernel::Raw { bytes } => vec![(PayloadKind::Kernel, at, bytes.clone(), 0)],
        Kernel::Elf { segments, .. } => segments
            .iter()
            .map(|segment| (PayloadKind::Kernel, Ipa::new(segment.address), segment.bytes.clone(), segment.zeroed))
            .collect(),
    }
}
