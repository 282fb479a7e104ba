//! B50 to B52, and the guest machine as the `probe` guest finds it: one boot per GIC for all of it.

use crate::bundle::Bundle;
use crate::control::check_beat;
use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::probe::{Answer, Probe, field};
use crate::promises::boot_failures::RPI4_TREE;
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::transcript::position;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// Seconds that the attack may take: it faults some 30 000 times.
const ATTACK: u64 = 120;
/// Seeds of the attacks of `make test`; `make test-long` goes on from there.
const SEEDS: [u64; 2] = [1, 20_261_121];
/// Attempts of an attack on `raspi4b`: what else it finds, the others' find too.
const PI_ATTEMPTS: u32 = 10_000;
/// Attempts that take longer than some reports of `control`, two seconds each.
const BESIDE_ATTEMPTS: u32 = 600_000;
/// How many more seeds a long run tries.
const LONG_SEEDS: u64 = 40;

const HOSTILE: Probe = Probe { name: "hostile", digit: 1 };
const VICTIM: Probe = Probe { name: "victim", digit: 2 };

/// B50 to B52, H06 to H10.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "isolation",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 400,
        promises: &[
            promise("H06", "interrupt_controller_passes_the_probes_self_tests"),
            promise("H07", "both_timers_interrupt_once_and_never_early"),
            promise("H08", "psci_answers_as_specified_by_hvc_and_smc"),
            promise("H09", "first_vcpu_starts_with_clean_registers"),
            promise("H09", "implementation_defined_registers_read_as_zero_and_ignore_writes"),
            promise("H09", "set_way_maintenance_leaves_memory_alone"),
            promise("H10", "pl011_takes_accesses_of_every_size"),
            promise("H10", "registers_take_loads_and_stores_with_write_back"),
            promise("B36", "breakpoint_hits_and_cycle_counter_counts_in_a_bare_metal_guest"),
            promise("B50", "foreign_memory_and_devices_abort_on_read_write_and_execute"),
            promise("H10", "empty_flash_reads_as_zero_and_ignores_writes"),
            promise("B51", "sgi_to_foreign_cores_goes_nowhere"),
            promise("B52", "cpu_on_of_foreign_cores_is_refused"),
            promise("B50", "stage_1_walk_through_a_device_page_aborts"),
            promise("B51", "sgi_names_its_sender_where_the_gic_does"),
            promise("B50", "random_attack_leaks_nothing_and_canaries_are_unchanged"),
            promise("B53", "beat_is_exact_during_the_attack"),
            promise("H08", "system_reset_stops_that_partition_alone"),
            promise("H05", "fault_loop_stops_that_partition_alone"),
        ],
        body: isolation,
    },
    Scenario {
        name: "cpu_view",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 60,
        promises: &[
            promise("H09", "sve_sme_mte_ras_and_nested_virtualisation_are_hidden_on_cpu_max"),
            promise("H09", "limited_ordering_regions_are_none_on_cpu_max"),
            promise("H09", "no_id_register_read_traps_on_a72"),
        ],
        body: cpu_view,
    },
    Scenario {
        name: "long_attack",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Long,
        seconds: 3600,
        promises: &[promise("B50", "many_random_attacks_leak_nothing")],
        body: long_attack,
    },
];

/// On a Raspberry Pi 4 without the ends of lives, which have a boot of their own there.
pub fn isolation(run: &mut Run) -> Result<()> {
    let image = run.project.image(if run.kind == Kind::Pi { "pi-isolation" } else { "isolation" })?;
    let bundle = Bundle::read(&image)?;
    let (mut machine, mut monitor) = boot(run, &image)?;
    let console = &mut machine.console;
    HOSTILE.ready(console)?;
    VICTIM.ready(console)?;
    let canary = Canary::plant(console, &mut monitor, &bundle, run)?;

    run.promise("interrupt_controller_passes_the_probes_self_tests", |_| {
        for test in ["order", "storm", "state", "disabled", "spurious", "split", "mask"] {
            HOSTILE.ok(console, &format!("gic {test}"))?;
        }
        Ok(())
    });
    run.promise("both_timers_interrupt_once_and_never_early", |_| HOSTILE.ok(console, "timer").map(drop));
    run.promise("psci_answers_as_specified_by_hvc_and_smc", |_| psci(console));
    run.promise("first_vcpu_starts_with_clean_registers", |_| {
        let dirty = HOSTILE.ok(console, "regs")?;
        // x0 is the device tree; everything else is 0 (arm64 boot protocol and rule 19 of no leftovers).
        let others: Vec<&str> = dirty.split_whitespace().filter(|word| !word.starts_with("x0=")).collect();
        ensure!(others.is_empty(), "not 0 at entry: {}", others.join(" "));
        // IMP, IDCODE and N are the core's.
        let pmcr = HOSTILE.value(console, "sysreg PMCR")?;
        ensure!(pmcr & 0x7ff == 0, "PMCR_EL0 is {pmcr:#x} at entry");
        Ok(())
    });
    run.promise("implementation_defined_registers_read_as_zero_and_ignore_writes", |_| {
        for name in ["CPUECTLR", "L2CTLR"] {
            HOSTILE.ok(console, &format!("sysregw 0x40 {name}"))?;
            let value = HOSTILE.value(console, &format!("sysreg {name}"))?;
            ensure!(value == 0, "{name} is {value:#x}");
        }
        Ok(())
    });
    run.promise("set_way_maintenance_leaves_memory_alone", |_| HOSTILE.ok(console, "setway").map(drop));
    run.promise("pl011_takes_accesses_of_every_size", |_| {
        let said = HOSTILE.ok(console, "uart")?;
        ensure!(said.contains("id=11101400"), "PL011 identification: {said}");
        let seen = console.transcript().text_from(0);
        ensure!(seen.lines().any(|line| line == "hostile| abc"), "the bytes were not seen");
        Ok(())
    });
    run.promise("registers_take_loads_and_stores_with_write_back", |_| write_back(console));
    run.promise("breakpoint_hits_and_cycle_counter_counts_in_a_bare_metal_guest", |_| {
        let said = HOSTILE.ok(console, "dbg")?;
        ensure!(said.starts_with("breakpoint=hit cycles="), "dbg said {said:?}");
        Ok(())
    });
    run.promise("foreign_memory_and_devices_abort_on_read_write_and_execute", |run| {
        for address in foreign_addresses(&bundle, run.kind) {
            HOSTILE.must_abort(console, &format!("read32 {address:#x}"), address)?;
            HOSTILE.must_abort(console, &format!("write32 {address:#x} 0xdeadbeef"), address)?;
            HOSTILE.must_abort(console, &format!("exec {address:#x}"), address)?;
        }
        // Behind hostile's RAM the board has none; behind victim's is hostile's.
        VICTIM.must_abort(console, &format!("read32 {BEHIND_RAM:#x}"), BEHIND_RAM)?;
        VICTIM.must_abort(console, &format!("write32 {BEHIND_RAM:#x} 0xdeadbeef"), BEHIND_RAM)?;
        canary.check(console, &mut monitor, run)
    });
    run.promise("empty_flash_reads_as_zero_and_ignores_writes", |_| empty_flash(console));
    run.promise("sgi_to_foreign_cores_goes_nowhere", |run| foreign_sgis(console, run.kind));
    run.promise("cpu_on_of_foreign_cores_is_refused", |_| foreign_cores(console));
    run.promise("stage_1_walk_through_a_device_page_aborts", |_| walk_through_device(console));
    run.promise("sgi_names_its_sender_where_the_gic_does", |run| senders(console, run.kind));
    run.promise("random_attack_leaks_nothing_and_canaries_are_unchanged", |run| {
        match run.kind {
            // What differs between boards, few attempts meet.
            Kind::Pi => attack(console, &format!("{} {PI_ATTEMPTS}", SEEDS[0]))?,
            _ => SEEDS.iter().try_for_each(|seed| attack(console, &seed.to_string()))?,
        }
        canary.check(console, &mut monitor, run)
    });
    run.promise("beat_is_exact_during_the_attack", |_| {
        let order = format!("attack {} {BESIDE_ATTEMPTS}", SEEDS[0]);
        let from = HOSTILE.order(console, &order)?;
        check_beat(console, 1)?;
        ensure!(!HOSTILE.has_answered(console, from, &order), "the attack was over before the beat was counted");
        // The guest reads its console again only then.
        let deadline = console.deadline(2 * ATTACK);
        console.transcript().wait(from, deadline, "the attack's end", |said| position(said, b" survived"))?;
        console.skip();
        Ok(())
    });
    if run.kind == Kind::Pi {
        return Ok(());
    }
    run.promise("system_reset_stops_that_partition_alone", |_| ends(console, &HOSTILE, "reset", "stopped"));
    run.promise("fault_loop_stops_that_partition_alone", |_| fault_loop(console));
    Ok(())
}

fn boot(run: &Run, image: &Path) -> Result<(Machine, Monitor)> {
    let socket = Socket::new()?;
    let recipe = match run.kind {
        Kind::Pi => Recipe::raspi4b(&run.project.built(RPI4_TREE)?),
        _ => Recipe::virt(gic(run.kind)),
    };
    let recipe = recipe.kernel(image);
    let recipe = socket.arguments().into_iter().fold(recipe, Recipe::arg);
    let machine = recipe.start(run)?;
    Ok((machine, socket.accept(run)?))
}

/// Memory that must not change: a pattern in the victim's RAM, and EL2's text and read-only data.
struct Canary {
    start: u64,
    load_address: u64,
    /// EL2's bytes as the image has them, up to where a running EL2 first differs: its data.
    el2: Vec<u8>,
}

impl Canary {
    const BYTES: u64 = 1 << 20;
    /// Less than this of constant EL2 would mean that the comparison sees nothing.
    const EL2_MIN: usize = 32 << 10;

    fn plant(console: &mut Conversation, monitor: &mut Monitor, bundle: &Bundle, run: &Run) -> Result<Self> {
        let start = field(&VICTIM.ok(console, "machine")?, "free").context("no free RAM in `machine`")?;
        let start = start.next_multiple_of(4096);
        VICTIM.ok(console, &format!("canary fill {start:#x} {:#x}", Self::BYTES))?;
        let load_address = if run.kind == Kind::Pi { PI_LOAD_ADDRESS } else { LOAD_ADDRESS };
        let image = bundle.el2();
        let memory = monitor.memory(load_address, image.len(), &run.directory().join("el2"))?;
        let same = image.iter().zip(&memory).take_while(|(image, memory)| image == memory).count();
        ensure!(same >= Self::EL2_MIN, "only {same} bytes of EL2 in memory are as in the image");
        Ok(Self { start, load_address, el2: image.get(..same).unwrap_or_default().to_vec() })
    }

    fn check(&self, console: &mut Conversation, monitor: &mut Monitor, run: &Run) -> Result<()> {
        VICTIM.ok(console, &format!("canary check {:#x} {:#x}", self.start, Self::BYTES))?;
        let memory = monitor.memory(self.load_address, self.el2.len(), &run.directory().join("el2"))?;
        let changed = self.el2.iter().zip(&memory).position(|(before, now)| before != now);
        ensure!(changed.is_none(), "EL2's memory changed at {:#x}", self.load_address + changed.unwrap_or(0) as u64);
        Ok(())
    }
}

/// Behind the RAM of either probe, as it sees it.
const BEHIND_RAM: u64 = 0x4100_0000;

/// Where QEMU's loader puts a kernel on `virt`.
const LOAD_ADDRESS: u64 = 0x4020_0000;
/// The same on `raspi4b`.
const PI_LOAD_ADDRESS: u64 = 0x0020_0000;

/// Devices of `virt`, its RAM, and places where it has nothing.
const FOREIGN: &[u64] = &[
    0x0803_0000, // GICv2: hypervisor interface of the real GIC
    0x0804_0000, // GICv2: virtual interface of the real GIC
    0x0901_0000, // the board's clock, not assigned
    0x0902_0000, // fw_cfg
    0x0a00_0000, // the board's virtio-mmio
    0x0c00_0000, // platform bus
    0x1000_0000, // PCIe
    BEHIND_RAM,
    0x4800_0000,    // the firmware's device tree
    0x7fff_f000,    // anywhere
    0xbfff_f000,    // the board's last page of RAM
    0xc000_0000,    // behind the board's RAM
    0x40_1000_0000, // PCIe configuration space
    0xff_ffff_f000, // last page of 40 bits
];
/// The same of a Raspberry Pi 4. Where its first 128 MiB are, a guest has its empty flash.
const PI_FOREIGN: &[u64] = &[
    0x3b3f_f000, // the last page of RAM below the GPU's
    0x3b40_0000, // the GPU's
    BEHIND_RAM,
    0x7fff_f000,    // the board's last page of RAM
    0xfe00_7000,    // DMA controller
    0xfe00_b880,    // mailbox
    0xfe10_0000,    // watchdog
    0xfe20_0000,    // GPIO
    0xfe20_1000,    // PL011
    0xfe30_0000,    // SD card
    0xff84_1000,    // GIC: distributor
    0xff84_2000,    // GIC: physical CPU interface
    0xff84_4000,    // GIC: hypervisor interface
    0xff84_6000,    // GIC: virtual CPU interface
    0x6_0000_0000,  // PCIe
    0xff_ffff_f000, // last page of 40 bits
];

/// Physical addresses of everybody else, board devices, and places where nothing is; not what this guest's own map has.
fn foreign_addresses(bundle: &Bundle, kind: Kind) -> Vec<u64> {
    let system = bundle.system();
    let banks = system.partitions.iter().flat_map(|partition| partition.banks.iter().map(|bank| bank.pa.start()));
    let mut addresses: Vec<u64> = banks.map(|pa| pa.as_u64()).collect();
    addresses.push(system.pool.start().as_u64());
    addresses.extend(if kind == Kind::Pi { PI_FOREIGN } else { FOREIGN });
    // The probe's own distributor and CPU interface are its own; its RAM is at IPA 0x4000_0000.
    let is_own = |address: &u64| (0x4000_0000..0x4100_0000).contains(address);
    addresses.retain(|address| !is_own(address));
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// QEMU's `virt` has flash below 128 MiB and U-Boot looks into it: here it is empty, and nothing executes from it.
/// What C compilers make of loops over registers. A pair they do not make: it aborts.
fn write_back(console: &mut Conversation) -> Result<()> {
    /// GICD_IPRIORITYR9: four SPIs that nobody uses.
    const PRIORITIES: u64 = 0x0800_0424;
    // str w1, [x0], #4; strb w1, [x0, #-1]!; ldr w2, [x0], #4: x0, w1, x0 afterwards, the register afterwards.
    let cases = [
        (0xb800_4401_u32, PRIORITIES, 0xa0b0_c0d0_u64, PRIORITIES + 4, 0xa0b0_c0d0),
        (0x381f_fc01, PRIORITIES + 2, 0x50, PRIORITIES + 1, 0xa0b0_50d0),
        (0xb840_4402, PRIORITIES, 0, PRIORITIES + 4, 0xa0b0_50d0),
    ];
    for (instruction, base, value, moved, register) in cases {
        let found = HOSTILE.value(console, &format!("insn {instruction:#x} {base:#x} {value:#x}"))?;
        ensure!(found == moved, "{instruction:#x} moved its base from {base:#x} to {found:#x}");
        let found = HOSTILE.value(console, &format!("read32 {PRIORITIES:#x}"))?;
        ensure!(found == register, "after {instruction:#x} the register holds {found:#x}, not {register:#x}");
    }
    // ldp w2, w3, [x0]
    HOSTILE.must_abort(console, &format!("insn 0x29400c02 {PRIORITIES:#x}"), PRIORITIES)
}

fn empty_flash(console: &mut Conversation) -> Result<()> {
    for address in [0x0_u64, 0x0400_0000, 0x07ff_fff8] {
        HOSTILE.ok(console, &format!("write64 {address:#x} 0xdeadbeef"))?;
        let value = HOSTILE.value(console, &format!("read64 {address:#x}"))?;
        ensure!(value == 0, "flash at {address:#x} holds {value:#x}");
        HOSTILE.must_abort(console, &format!("exec {address:#x}"), address)?;
    }
    Ok(())
}

fn psci(console: &mut Conversation) -> Result<()> {
    const NOT_SUPPORTED: i32 = -1;
    const INVALID_ADDRESS: i32 = -9;
    const CALLS: &[(&str, i32)] = &[
        ("0x84000000", 0x1_0001),                 // PSCI_VERSION: 1.1
        ("0x80000000", 0x1_0001),                 // SMCCC_VERSION: at least 1.1
        ("0x84000006", 2),                        // MIGRATE_INFO_TYPE: no migration
        ("0x8400000a 0x84000008", 0),             // FEATURES of SYSTEM_OFF
        ("0x8400000a 0xc4000003", 0),             // FEATURES of CPU_ON
        ("0x8400000a 0x84000005", NOT_SUPPORTED), // FEATURES of MIGRATE
        ("0xc4000005", NOT_SUPPORTED),            // MIGRATE
        ("0x84001234", NOT_SUPPORTED),
        ("0xc6000001", NOT_SUPPORTED),
        ("0", NOT_SUPPORTED),
        ("0xc4000004 0 0", 0),      // AFFINITY_INFO of itself: on
        ("0xc4000004 0x100 0", -2), // of nobody: invalid parameters
        ("0xc4000004 0 3", -2),
        ("0xc4000003 1 0x0b000000 0", INVALID_ADDRESS), // CPU_ON into nothing
        ("0xc4000003 1 0x41000000 0", INVALID_ADDRESS), // behind own RAM
        ("0xc4000003 1 0x40000002 0", INVALID_ADDRESS), // between two instructions
    ];
    for conduit in ["hvc", "smc"] {
        for (call, expected) in CALLS {
            let answer = HOSTILE.call(console, &format!("{conduit} {call}"))?;
            let is_newer = *call == "0x80000000" && answer > *expected && answer < 0x2_0000;
            ensure!(answer == *expected || is_newer, "{conduit} {call} returned {answer}, expected {expected}");
        }
    }
    Ok(())
}

fn foreign_sgis(console: &mut Conversation, kind: Kind) -> Result<()> {
    const SGI: u32 = 5;
    let orders: &[u64] = if kind != Kind::V3 {
        // GICD_SGIR: every core of the list, then all others, then each core alone.
        &[0xff_0005, 0x100_0005, 0x01_0005, 0x08_0005, 0x80_0005]
    } else {
        // ICC_SGI1R_EL1: every target of cluster 0, all others (IRM), core 3 alone, other clusters, a higher affinity.
        &[0x0500_ffff, 1 << 40 | 0x0500_0000, 0x0500_0008, 0x0501_ffff, 0x1_0500_ffff, 0x00ff_00ff_05ff_ffff]
    };
    // A vCPU of its own that is on, so that something is seen to arrive.
    let started = HOSTILE.call(console, "cpu_on 1")?;
    ensure!(started == 0 || started == -4, "cpu_on 1 returned {started}");
    let victim_before = sgi_counts(console, &VICTIM)?;
    let own_before = sgi_counts(console, &HOSTILE)?;
    let control_before = Counters::ask(console, "control/v0")?;
    for order in orders {
        HOSTILE.ok(console, &format!("sgi1r {order:#x}"))?;
    }
    let victim = sgi_counts(console, &VICTIM)?;
    ensure!(victim == victim_before, "SGIs of hostile reached victim: {victim_before:?}, later {victim:?}");
    let control = Counters::ask(console, "control/v0")?.moved_since(&control_before, &["forwarded", "uart"]);
    ensure!(control.is_empty(), "SGIs of hostile disturbed control's core: {}", control.join(", "));
    let own = sgi_counts(console, &HOSTILE)?;
    ensure!(own != own_before, "SGI {SGI} to all did not even reach hostile's own vCPUs: {own:?}");
    Ok(())
}

/// SGIs that a probe took: the words `vN:` and `INTID=COUNT` of `irqs`, without PPIs and SPIs.
fn sgi_counts(console: &mut Conversation, probe: &Probe) -> Result<Vec<String>> {
    let is_sgi = |word: &str| word.split_once('=').is_none_or(|(id, _)| id.parse::<u32>().is_ok_and(|id| id < 16));
    Ok(probe.ok(console, "irqs")?.split_whitespace().filter(|word| is_sgi(word)).map(str::to_owned).collect())
}

fn foreign_cores(console: &mut Conversation) -> Result<()> {
    const INVALID_PARAMETERS: i32 = -2;
    const ALREADY_ON: i32 = -4;
    const ON_PENDING: i32 = -5;
    for mpidr in ["2", "3", "7", "0x100", "0x10000", "0x100000000", "0x80000003", "0xffffffffffffffff"] {
        let answer = HOSTILE.call(console, &format!("cpu_on {mpidr}"))?;
        ensure!(answer == INVALID_PARAMETERS, "cpu_on {mpidr} returned {answer}, expected INVALID_PARAMETERS");
    }
    let itself = HOSTILE.call(console, "cpu_on 0")?;
    ensure!(itself == ALREADY_ON, "cpu_on 0 returned {itself}, expected ALREADY_ON");
    // Its own second vCPU, on and off and on: refusals must not have spoilt it.
    let first = HOSTILE.call(console, "cpu_on 1")?;
    ensure!(first == 0 || first == ALREADY_ON, "cpu_on 1 returned {first}");
    for _ in 0..3 {
        let again = HOSTILE.call(console, "cpu_on 1")?;
        // On a busy host the core may not have come yet.
        let is_on = again == ALREADY_ON || again == ON_PENDING;
        ensure!(is_on, "cpu_on 1 twice returned {again}, expected ALREADY_ON or ON_PENDING");
        HOSTILE.ok(console, "cpu_off 1")?;
        let off = HOSTILE.call(console, "affinity 1")?;
        ensure!(off == 1, "AFFINITY_INFO of a vCPU that is off returned {off}");
        let on = HOSTILE.call(console, "cpu_on 1")?;
        ensure!(on == 0, "cpu_on 1 after cpu_off returned {on}");
    }
    Ok(())
}

/// Tables in the GIC's CPU interface, which on GICv2 is hardware mapped into the guest: the walker must not read it, as
/// such a read can acknowledge an interrupt (HCR_EL2.PTW). On GICv3 nothing is there.
fn walk_through_device(console: &mut Conversation) -> Result<()> {
    const GICC: u64 = 0x0801_0000;
    const FAR_AWAY: &str = "read32 0xc0000000";
    let tables = HOSTILE.value(console, "sysreg TTBR1")?;
    HOSTILE.ok(console, &format!("sysregw {GICC:#x} TTBR1"))?;
    let answer = HOSTILE.ask(console, FAR_AWAY)?;
    HOSTILE.ok(console, &format!("sysregw {tables:#x} TTBR1"))?;
    let Answer::Fault(fault) = answer else { bail!("a walk through the CPU interface ended in {answer:x?}") };
    // External abort on a walk, of any level.
    ensure!(fault.ec == 0x25 && (0x14..0x18).contains(&fault.dfsc), "a walk through the CPU interface: {fault:x?}");
    HOSTILE.must_abort(console, FAR_AWAY, 0xc000_0000)
}

/// GICv2 keeps an SGI of each sender apart and tells the receiver who it was; GICv3 does neither.
fn senders(console: &mut Conversation, kind: Kind) -> Result<()> {
    let started = HOSTILE.call(console, "cpu_on 1")?;
    ensure!(started == 0 || started == -4, "cpu_on 1 returned {started}");
    let senders = field(&HOSTILE.ok(console, "senders")?, "senders").context("no field senders")?;
    let expected = if kind == Kind::V3 { 0b01 } else { 0b11 };
    ensure!(senders == expected, "an SGI of vCPU 0 and of vCPU 1: senders {senders:#b}, expected {expected:#b}");
    Ok(())
}

/// An attack with this seed, and as many attempts as stand behind it.
fn attack(console: &mut Conversation, seed: &str) -> Result<()> {
    match HOSTILE.ask_for(console, &format!("attack {seed}"), ATTACK)? {
        Answer::Ok(said) if field(&said, "leaks") == Some(0) && said.ends_with("survived") => Ok(()),
        other => bail!("seed {seed}: {other:x?}"),
    }
}

/// The partition is stopped with a word about it, and the 1 kHz loop goes on.
fn ends(console: &mut Conversation, probe: &Probe, order: &str, word: &str) -> Result<()> {
    probe.order(console, order)?;
    is_ended(console, probe, word)
}

/// EL2 says of the probe's partition that its life has ended so; control's beat is right.
fn is_ended(console: &mut Conversation, probe: &Probe, word: &str) -> Result<()> {
    console.expect_line(&format!("EL2's word about {}: {word}", probe.name), ATTACK, |line| {
        (line.starts_with("bulkhead| ") && line.contains(probe.name) && line.contains(word)).then_some(())
    })?;
    check_beat(console, 1).map(drop)
}

/// Vectors where nothing is: each exception's vector fetch is an abort that EL2 injects, whose vector fetch is one.
fn fault_loop(console: &mut Conversation) -> Result<()> {
    const NOWHERE: u64 = 0x0b00_0000;
    /// Where the probe's second window shows the GiB that it last executed in (guests/probe, `access`).
    const WINDOW: u64 = 0xffff_ff80_4000_0000;
    VICTIM.must_abort(console, &format!("exec {NOWHERE:#x}"), NOWHERE)?;
    VICTIM.ok(console, &format!("sysregw {:#x} VBAR", WINDOW + NOWHERE))?;
    // Any exception from here on ends it, also one that comes before the order does: EL2's word is looked for at once.
    console.send("undef\n")?;
    is_ended(console, &VICTIM, "fault loop")
}

fn cpu_view(run: &mut Run) -> Result<()> {
    let image = run.project.image("isolation")?;
    run.promise("sve_sme_mte_ras_and_nested_virtualisation_are_hidden_on_cpu_max", |run| {
        let recipe = Recipe::virt_with(gic(run.kind), "max", ",virtualization=on,mte=on").kernel(&image);
        let mut machine = recipe.start(run)?;
        HOSTILE.ready(&mut machine.console)?;
        // Register, lowest bit of the field, what it says.
        const HIDDEN: &[(&str, u32, &str)] = &[
            ("ID_AA64PFR0", 32, "SVE"),
            ("ID_AA64PFR0", 28, "RAS"),
            ("ID_AA64PFR0", 44, "AMU"),
            ("ID_AA64PFR1", 8, "MTE"),
            ("ID_AA64PFR1", 24, "SME"),
            ("ID_AA64MMFR2", 24, "NV"),
            ("ID_AA64ZFR0", 0, "SVE version"),
        ];
        for (register, bit, what) in HIDDEN {
            let value = HOSTILE.value(&mut machine.console, &format!("sysreg {register}"))?;
            ensure!(value >> bit & 0xf == 0, "{register} = {value:#x} shows {what}");
        }
        Ok(())
    });
    run.promise("limited_ordering_regions_are_none_on_cpu_max", |run| {
        let recipe = Recipe::virt_with(gic(run.kind), "max", ",virtualization=on").kernel(&image);
        let mut machine = recipe.start(run)?;
        HOSTILE.ready(&mut machine.console)?;
        let lorid = HOSTILE.value(&mut machine.console, "sysreg 3 0 10 4 7")?;
        ensure!(lorid == 0, "LORID_EL1 is {lorid:#x}");
        Ok(())
    });
    run.promise("no_id_register_read_traps_on_a72", |run| {
        let mut machine = Recipe::virt(gic(run.kind)).kernel(&image).start(run)?;
        HOSTILE.ready(&mut machine.console)?;
        let console = &mut machine.console;
        let before = Counters::ask(console, "hostile/v0")?;
        for register in ["MIDR", "ID_AA64PFR0", "ID_AA64MMFR0", "ID_AA64ISAR0", "ID_PFR0", "CTR", "CLIDR"] {
            HOSTILE.value(console, &format!("sysreg {register}"))?;
        }
        let after = Counters::ask(console, "hostile/v0")?;
        ensure!(
            before.of("sysreg")? == after.of("sysreg")?,
            "an ID register read trapped: {before:?}, later {after:?}"
        );
        Ok(())
    });
    Ok(())
}

fn long_attack(run: &mut Run) -> Result<()> {
    let image = run.project.image("isolation")?;
    let bundle = Bundle::read(&image)?;
    let (mut machine, mut monitor) = boot(run, &image)?;
    let console = &mut machine.console;
    HOSTILE.ready(console)?;
    VICTIM.ready(console)?;
    let canary = Canary::plant(console, &mut monitor, &bundle, run)?;
    run.promise("many_random_attacks_leak_nothing", |run| {
        for seed in 0..LONG_SEEDS {
            attack(console, &(1000 + seed).to_string())?;
            canary.check(console, &mut monitor, run)?;
        }
        check_beat(console, 1).map(drop)
    });
    Ok(())
}
