//! A system in the making: RAM for everybody, then what fills it. Mistakes of placement are collected, not judged.

use super::ingredients::Ingredients;
use super::pack::{kernel_payloads, pack};
use super::{empty, service, whole};
use crate::board::Platform;
use crate::channels;
use crate::devices::{self, Assigned};
use crate::diagnostic::Diagnostic;
use crate::file::{Given, Mode, PartitionFile, SystemFile, VIRTIO_KEYS};
use crate::fit::{self, Pins};
use crate::image::{EL2_MAX, Store, lay_out};
use crate::kernel::Bytes;
use crate::locate::{self, Known};
use crate::near;
use crate::pins;
use crate::place::Space;
use crate::tree::{self, GicVersion, Guest, Reach, TREE_MAX};
use crate::window;
use abi::service::MAX_PARTITION_DEVICES;
use abi::{CoreId, Io, machine};
use addr::{Ipa, Pa, Region};
use bcm2711::Block;
use manifest::{Bank, Board, MAX_BANKS, Machine, Partition, PayloadKind, Service, System};

/// A system in the making.
pub struct Builder<'a> {
    board: &'static Board,
    platform: &'static Platform,
    file: &'a SystemFile,
    /// Every partition, the service partition last.
    partitions: Vec<&'a PartitionFile>,
    ingredients: &'a [Ingredients],
    /// What is known of each partition: mistakes about the rest are consequences.
    pub known: Vec<Known>,
    /// Mistakes of placement, dropped if the machine itself is wrong.
    pub late: Vec<Diagnostic>,
    /// What the service partition is told.
    pub plan: Option<abi::plan::Plan>,
    /// The names of the channels that have a place.
    pub channels: Vec<String>,
}

impl<'a> Builder<'a> {
    /// Of the partitions of `file`, each with its ingredients.
    pub fn new(platform: &'static Platform, file: &'a SystemFile, ingredients: &'a [Ingredients]) -> Self {
        let partitions = file.all().collect();
        Self {
            board: platform.board,
            platform,
            file,
            partitions,
            ingredients,
            known: Vec::new(),
            late: Vec::new(),
            plan: None,
            channels: Vec::new(),
        }
    }

    /// The system with the bytes of its payloads; `None` where there is no room for EL2's pool.
    pub fn system(&mut self, said: Machine) -> Option<(System, Vec<Vec<Bytes>>)> {
        let bundle_max = self.bundle_max();
        let mut space = Space::of(self.board, said, bundle_max);
        let mut banks = self.pinned(&mut space);
        self.place(said, &mut space, &mut banks);
        let mut system = empty(self.file, self.board, whole(self.board)?);
        if let Some(bank) = banks.last_mut().filter(|_| self.file.service.is_some()) {
            let parts = bank.and_then(service::split);
            system.service = parts.map(|(kept, _)| Service { kept });
            *bank = parts.map(|(_, ram)| ram);
        }
        self.place_channels(&mut space, &mut system);
        let mut contents = Vec::new();
        for (place, bank) in banks.into_iter().enumerate() {
            let (partition, bytes) = self.partition(&system, place, bank);
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
                store.add(bytes);
            }
        }
        store.end() + self.ingredients.len() as u64 * 2 * TREE_MAX
    }

    /// Takes the pinned ranges.
    fn pinned(&mut self, space: &mut Space) -> Vec<Option<Region<Pa>>> {
        let mut banks = Vec::new();
        for partition in &self.partitions {
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

    /// Finds room for the others: first for what must lie where firmware reaches it, then whole gibibytes, so that they get
    /// their boundaries.
    fn place(&mut self, said: Machine, space: &mut Space, banks: &mut [Option<Region<Pa>>]) {
        let mut order: Vec<usize> = (0..banks.len()).collect();
        let size = |place: &usize| self.partitions[*place].memory.value().copied().unwrap_or(0);
        let soc = self.board.soc;
        let is_anywhere = |place: &usize| soc.is_none() || !self.is_service(*place);
        order.sort_by_key(|place| (is_anywhere(place), std::cmp::Reverse(size(place) >> 30)));
        for place in order {
            let partition = self.partitions[place];
            let Given::Is(size, span) = &partition.memory else { continue };
            if partition.memory_at != Given::Absent || *size == 0 {
                continue;
            }
            banks[place] = match soc.filter(|_| self.is_service(place)) {
                Some(soc) => space.take_highest_below(*size, soc.reach),
                None => space.take_highest(*size),
            };
            if banks[place].is_none() {
                let (wanted, largest) = (addr::ByteSize(*size), addr::ByteSize(space.largest()));
                let title = format!("no room for {wanted} of memory for {}", partition.title());
                let larger = self.board.sizes.iter().find(|size| **size > said.memory);
                let help = match larger {
                    _ if self.board.is_variable => {
                        "ask for less, or give the machine more: machine = { memory = \"8G\" }".to_owned()
                    }
                    Some(size) => {
                        let size = addr::ByteSize(*size);
                        format!("ask for less, or build it for boards with more: machine = {{ memory = \"{size}\" }}")
                    }
                    None => "ask for less".to_owned(),
                };
                let label = format!("the largest piece of RAM that is left has {largest}");
                self.late.push(Diagnostic::new(span.clone(), title, help).label(label));
            }
        }
    }

    /// Finds room for the channels, each from a 2 MiB boundary on, so that EL2 clears it through one mapping of 2 MiB.
    fn place_channels(&mut self, space: &mut Space, system: &mut System) {
        for (channel, said) in channels::resolve(self.file).unwrap_or_default().iter().zip(&self.file.channels) {
            let Some(memory) = space.take_highest(channel.size) else {
                let title = format!("no room for {} of memory for {}", addr::ByteSize(channel.size), said.title());
                self.late.push(Diagnostic::new(said.span.clone(), title, "give the partitions less memory"));
                return;
            };
            let pages = (channel.size / addr::PAGE_SIZE) as u16;
            let placed = manifest::Channel { start: memory.start(), pages, ends: channel.ends };
            // `resolve` stops at the limit.
            let _ = system.channels.push(placed);
            self.channels.push(channel.name.clone());
        }
    }

    /// The channels that a partition sees in its guest machine.
    fn ends_of(&self, system: &System, place: usize) -> Vec<tree::Channel<'_>> {
        let all = system.channels.iter().zip(&self.channels).enumerate();
        let own = all.filter_map(|(number, (channel, name))| {
            let end = channel.ends.iter().position(|end| end.user.index() == place && !end.is_brokered())?;
            let size = channel.memory()?.size();
            Some(tree::Channel { number: number as u32, name, size, end: end as u32 })
        });
        own.collect()
    }

    /// Whether the partition at `place` is the service partition.
    fn is_service(&self, place: usize) -> bool {
        place == self.file.partitions.len()
    }

    fn partition(&mut self, system: &System, place: usize, pa: Option<Region<Pa>>) -> (Partition, Vec<Bytes>) {
        let file = self.partitions[place];
        let is_identity = file.identity.value().copied().unwrap_or(false);
        let devices = match self.is_service(place) {
            true => Assigned { ids: self.board.service_devices().map(|(id, _)| id).collect(), ..Assigned::default() },
            false => devices::resolve(self.platform, file, &mut self.late),
        };
        let banks = pa.map(|pa| banks(file, is_identity, pa)).unwrap_or_default();
        // The one that kernel, initrd and device tree lie in.
        let main = banks.last().copied();
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
            io: if banks.len() == 2 { Io::Window } else { Io::Open },
            banks,
            is_identity,
            unsafe_dma: file.unsafe_dma.value().copied().unwrap_or(false),
            entry: Ipa::default(),
            device_tree: Ipa::default(),
            payloads: heapless::Vec::new(),
            devices: devices.ids.into_iter().take(manifest::MAX_DEVICES).collect(),
            virtio: self.virtio(file),
            policy: file.policy(),
            watchdog_ms: file.watchdog.value().copied().unwrap_or(0),
        };
        let contents = main.and_then(|bank| match self.is_service(place) {
            true => self.fill_service(system, place, &mut partition, &bank),
            false => self.fill(system, place, &mut partition, &bank, &devices.blocks),
        });
        self.known.push(Known { memory: pa.is_some(), payloads: contents.is_some() });
        (partition, contents.unwrap_or_default())
    }

    /// The virtio devices of a partition, as many as there is room for.
    fn virtio(&mut self, file: &PartitionFile) -> heapless::Vec<manifest::Virtio, MAX_PARTITION_DEVICES> {
        let count = file.virtio_devices().count();
        // Only of disks can there be more than one.
        if let (true, Some(disk)) = (count > MAX_PARTITION_DEVICES, file.disks.last()) {
            let title = format!("{} has {count} virtio devices", file.title());
            let each = near::list(VIRTIO_KEYS);
            let help = format!("give it at most {MAX_PARTITION_DEVICES}: each {each} is one");
            self.late.push(Diagnostic::new(disk.place(), title, help));
        }
        service::virtio(file).take(MAX_PARTITION_DEVICES).collect()
    }

    /// Gives `partition` its payloads; `None` when something is missing or does not fit, which is then reported.
    fn fill(
        &mut self,
        system: &System,
        place: usize,
        partition: &mut Partition,
        bank: &Bank,
        blocks: &[&'static Block],
    ) -> Option<Vec<Bytes>> {
        let file = self.partitions[place];
        let kernel = self.ingredients[place].kernel.clone()?;
        let initrd = self.ingredients[place].initrd.clone();
        let is_initrd_missing = initrd.is_none() && file.initrd != Given::Absent;
        let is_form_wrong = file.kernel_at.is_wrong() || file.device_tree_at.is_wrong() || file.cores.is_wrong();
        if is_initrd_missing || is_form_wrong || bank.pa.size() < manifest::MEMORY_MIN {
            return None;
        }
        let ram = bank.guest()?;
        let banks: Vec<_> = partition.banks.iter().filter_map(Bank::guest).collect();
        let window = banks.first().copied().filter(|_| partition.io == Io::Window);
        let bootargs = match window {
            Some(window) => window::bootargs(file, &kernel, window.size()),
            None => file.bootargs.value().cloned(),
        };
        self.late.extend(bootargs.as_ref().and_then(|text| window::too_long(file, text)));
        let devices: Vec<_> =
            partition.devices.iter().filter_map(|id| self.board.devices.get(usize::from(id.0))).collect();
        let channels = self.ends_of(system, place);
        let lines: Vec<_> = pins::lines(file).collect();
        let mut guest = Guest {
            vcpus: partition.cores.len(),
            ram: &banks,
            reach: match (window, file.window.mode()) {
                (None, _) => Reach::All,
                (Some(window), Mode::Pool) => Reach::Pool(window),
                (Some(window), _) => Reach::Window(window),
            },
            bootargs: bootargs.as_deref(),
            initrd: initrd.as_ref().map(|_| ram),
            devices: &devices,
            blocks,
            has_power_key: partition.has_power_key(self.board),
            lines: &lines,
            watchdog_ms: partition.watchdog_ms,
            has_clock: system.has_clock(self.board, partition),
            virtio: partition.virtio.len(),
            transports: self.board.transports,
            channels: &channels,
        };
        let kinds: Vec<PayloadKind> = self.board.trees(system.machine).collect();
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
        pack(partition, &fit, payloads)
    }

    /// The same for the service partition: its kernel where its RAM is, and a plan for a tree.
    fn fill_service(
        &mut self,
        system: &System,
        place: usize,
        partition: &mut Partition,
        bank: &Bank,
    ) -> Option<Vec<Bytes>> {
        let file = self.partitions[place];
        let kernel = self.ingredients[place].kernel.clone()?;
        let ram = bank.guest()?;
        let Some(kernel) = kernel.at(ram.start().as_u64()) else {
            let (name, format) = (file.kernel.value().map_or("", String::as_str), kernel.format());
            let title = format!("kernel '{name}' ({format}) is no position-independent ELF file");
            let help = "link it with `-pie`: the service partition's memory has no fixed address";
            self.late.push(Diagnostic::new(file.kernel.span()?, title, help));
            return None;
        };
        let plan = service::plan(self.board, system, self.file, file, bank.pa)?;
        let payload = service::payload(&plan)?;
        self.plan = Some(plan);
        let fit = match fit::fit(ram, &kernel, 0, payload.len() as u64, Pins::default()) {
            Ok(fit) => fit,
            Err(misfit) => {
                self.late.push(locate::misfit(file, &kernel, ram, misfit));
                return None;
            }
        };
        let mut payloads = kernel_payloads(&kernel, &fit);
        payloads.push((PayloadKind::Plan, fit.device_tree, payload, 0));
        pack(partition, &fit, payloads)
    }
}

/// The banks of a partition in the physical range `pa`, ascending by IPA. A window is the upper end of the range, so
/// that the rest keeps the boundary that the range was given.
fn banks(file: &PartitionFile, is_identity: bool, pa: Region<Pa>) -> heapless::Vec<Bank, MAX_BANKS> {
    let window = file.window.bytes(pa.size()).filter(|_| !is_identity);
    let parts = window.and_then(|window| {
        let main = Region::new(pa.start(), pa.size().checked_sub(window)?)?;
        Some((
            Bank { ipa: machine::RAM, pa: Region::new(main.end(), window)? },
            Bank { ipa: machine::MAIN_RAM, pa: main },
        ))
    });
    match parts {
        Some((window, main)) => heapless::Vec::from_array([window, main]),
        None if is_identity => heapless::Vec::from_iter([Bank { ipa: Ipa::new(pa.start().as_u64()), pa }]),
        None => heapless::Vec::from_iter([Bank { ipa: machine::RAM, pa }]),
    }
}

fn version(kind: PayloadKind) -> GicVersion {
    if kind == PayloadKind::DeviceTreeV2 { GicVersion::V2 } else { GicVersion::V3 }
}
