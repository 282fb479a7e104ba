//! The `bulkhead` command: arguments in, files and messages out.

use annotate_snippets::Renderer;
use anyhow::{Context, Result, bail, ensure};
use bulkhead::card::image::Disk;
use bulkhead::card::{self, Card, Finding};
use bulkhead::diagnostic::{Diagnostic, render};
use bulkhead::file::Source;
use bulkhead::image::lay_out;
use bulkhead::plan::{Plan, machine_mistakes, plan};
use bulkhead::qemu::{Choice, arguments, quoted};
use bulkhead::symbolize::{self, Lines, MARK};
use bulkhead::{board, disks, el2, file, image, locate, map, network, svg};
use clap::{Parser, Subcommand};
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Cut one Arm board into partitions, from one system file.
///
/// A system file (TOML) says which partition gets which cores, how much memory and which kernel. This tool checks it
/// against the board's facts, finds a place for everything, and packs one image that boots by QEMU's -kernel, by
/// U-Boot's booti, or as kernel8.img.
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_long_help = "\
A system file:

  board = \"qemu-virt\"

  [[partition]]
  name = \"linux\"
  cores = [1, 2]
  memory = \"512M\"
  kernel = \"Image\"                  # relative to this file
  initrd = \"initramfs.cpio.gz\"
  bootargs = \"console=ttyAMA0\"
  watchdog = \"10s\"                # and back to life when it starves

With disks: a service partition on a core of its own owns the board's and serves them. QEMU is told to attach the images
in `machine`; `from` names a GPT partition on any of them.

  machine = { disks = [\"disk.img\"] }
  service = { cores = [0] }                          # both above the first [[partition]]

  disk = { from = \"gpt:rootfs\", mode = \"rw\" }        # in a partition: the guest's /dev/vda
  rng = true                                         # and its /dev/hwrng

From there to a shell:

  bulkhead check my.toml
  bulkhead build my.toml -o my.img
  qemu-system-aarch64 $(bulkhead qemu-args my.toml) -kernel my.img

Every key is explained in docs/MANUAL.md. Exit status: 0 done, 1 mistakes, 2 wrong arguments."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Report every mistake of system files
    ///
    /// Reads the kernels and the disk images of `machine` too, so what passes here builds. Example: bulkhead check systems/*.toml
    Check {
        /// System files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write a bootable image
    ///
    /// The image is written whole or not at all, and the same input gives the same bytes.
    /// Example: bulkhead build systems/demo.toml -o demo.img
    Build {
        /// System file
        file: PathBuf,
        /// The image to write
        #[arg(short, long)]
        output: PathBuf,
        /// EL2 binary (ELF); built by cargo from this tool's checkout if not given
        #[arg(long)]
        hypervisor: Option<PathBuf>,
    },
    /// Show who owns which core, memory range, interrupt, device and disk
    ///
    /// Also what follows when a guest's life ends, and what each guest sees. Example: bulkhead map systems/demo.toml --svg demo.svg
    Map {
        /// System file
        file: PathBuf,
        /// Write a picture as well
        #[arg(long)]
        svg: Option<PathBuf>,
    },
    /// Print the QEMU arguments for the machine of a system file
    ///
    /// Kernels and disks need not exist. Disks of `machine` are attached, and an entropy device for a service partition.
    /// Paths with spaces come out quoted for a shell's `eval`. Example:
    /// qemu-system-aarch64 $(bulkhead qemu-args my.toml --gic 2) -kernel my.img
    QemuArgs {
        /// System file
        file: PathBuf,
        /// GIC version, where the board has both [default: 3]
        #[arg(long, value_parser = clap::value_parser!(u8).range(2..=3))]
        gic: Option<u8>,
        /// Image to boot: adds -kernel
        #[arg(long)]
        image: Option<PathBuf>,
        /// Device tree of the board, which raspi4b needs: adds -dtb
        #[arg(long)]
        dtb: Option<PathBuf>,
    },
    /// Turn the backtraces of EL2's panics in a console log into functions and lines
    ///
    /// The log passes unchanged; each backtrace has its meaning under it. The EL2 binary must be the very one in the
    /// image. Example: bulkhead symbolize demo.img console.log
    Symbolize {
        /// The image that ran
        image: PathBuf,
        /// Its EL2 binary (ELF); built by cargo from this tool's checkout if not given
        #[arg(long)]
        hypervisor: Option<PathBuf>,
        /// The log; standard input if not given
        log: Option<PathBuf>,
    },
    /// Write the image of a bootable card for the Raspberry Pi 4
    ///
    /// A FAT32 boot partition, and behind it up to three partitions that guests have as disks. The same input gives the
    /// same bytes. Example: bulkhead sd-image build/kernel8.img -o card.img --boot build/firmware/rpi4 --disk rootfs.ext4
    SdImage {
        /// The image that `bulkhead build` wrote; kernel8.img on the card
        kernel: PathBuf,
        /// The card image to write
        #[arg(short, long)]
        output: PathBuf,
        /// Folder with the other files of the boot partition: the firmware's and the device tree. Without a config.txt
        /// there the card gets the tool's own
        #[arg(long)]
        boot: PathBuf,
        /// A guest's disk: a file that is copied, or a size with K, M or G for an empty one. The first is partition 2
        #[arg(long)]
        disk: Vec<String>,
    },
    /// Say what a card for the Raspberry Pi 4 lacks to start Bulkhead
    ///
    /// Reads only. Example: bulkhead sd-check card.img, or sudo target/debug/bulkhead sd-check /dev/sdX
    SdCheck {
        /// A card image, or the device that a card is in
        card: PathBuf,
        /// Also copy the boot partition's files to this folder, if nothing is wrong
        #[arg(long)]
        extract: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; false when a system file has mistakes, which are printed.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Check { files } => check(&files),
        Command::Build { file, output, hypervisor } => build(&file, &output, hypervisor.as_deref()),
        Command::Map { file, svg } => show(&file, svg.as_deref()),
        Command::QemuArgs { file, gic, image, dtb } => {
            let choice = Choice { gic, image: image.as_deref(), dtb: dtb.as_deref() };
            qemu_arguments(&file, choice)
        }
        Command::Symbolize { image, hypervisor, log } => explain(&image, hypervisor.as_deref(), log.as_deref()),
        Command::SdImage { kernel, output, boot, disk } => sd_image(&kernel, &output, &boot, &disk),
        Command::SdCheck { card, extract } => sd_check(&card, extract.as_deref()),
    }
}

fn check(files: &[PathBuf]) -> Result<bool> {
    let mut is_clean = true;
    for path in files {
        match Source::read(path) {
            Ok(source) => match planned(&source) {
                Some(plan) => println!("{}: {}", source.shown, summary(&plan)),
                None => is_clean = false,
            },
            Err(error) => {
                eprintln!("error: {error:#}");
                is_clean = false;
            }
        }
    }
    Ok(is_clean)
}

fn build(path: &Path, output: &Path, hypervisor: Option<&Path>) -> Result<bool> {
    let source = Source::read(path)?;
    let Some(mut plan) = planned(&source) else { return Ok(false) };
    let el2 = el2::load(plan.platform, hypervisor)?;
    let store = lay_out(&mut plan.system, &plan.contents, el2.manifest_offset());
    // The offsets changed: the rules hold for what is written.
    let mut broken = None;
    manifest::validate(plan.platform.board, &plan.system, &mut |mistake| broken = Some(mistake));
    if let Some(mistake) = broken {
        return Err(mistake).context("laid out for this EL2 binary");
    }
    let bundle = el2.bundle(&plan.system, &store)?;
    image::write(output, &bundle)?;
    println!("{}: {} KiB, {}", output.display(), bundle.len().div_ceil(1024), summary(&plan));
    Ok(true)
}

fn show(path: &Path, picture: Option<&Path>) -> Result<bool> {
    let source = Source::read(path)?;
    let Some(plan) = planned(&source) else { return Ok(false) };
    print!("{}", map::table(&plan));
    if let Some(picture) = picture {
        std::fs::write(picture, svg::picture(&plan)).with_context(|| format!("cannot write {}", picture.display()))?;
    }
    Ok(true)
}

fn qemu_arguments(path: &Path, choice: Choice<'_>) -> Result<bool> {
    let source = Source::read(path)?;
    let mut found = Vec::new();
    let file = file::parse(&source.text, &mut found);
    if let Some(platform) = file.board.value() {
        let mistakes = machine_mistakes(&file, platform.board);
        found.extend(mistakes.iter().filter_map(|mistake| locate::diagnose(&file, &[], mistake)));
        disks::board(&file, platform.board, &mut found);
        network::check(&file, &mut found);
    }
    let Some(platform) = file.board.value().filter(|_| found.is_empty()) else {
        complain(&source, &found);
        return Ok(false);
    };
    let arguments = arguments(platform.board, &file, &source.folder, choice)?;
    println!("{}", arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" "));
    Ok(true)
}

/// Prints a log with the meaning of its backtraces.
fn explain(path: &Path, hypervisor: Option<&Path>, log: Option<&Path>) -> Result<bool> {
    let bundle = std::fs::read(path).map_err(anyhow::Error::from);
    let bundle = bundle.and_then(|bundle| image::check(&bundle).map(|()| bundle));
    let bundle = bundle.with_context(|| format!("cannot use the image {}", path.display()))?;
    let hypervisor = match hypervisor {
        Some(hypervisor) => hypervisor.to_owned(),
        None => build_el2_of(&bundle).with_context(|| format!("cannot use the image {}", path.display()))?,
    };
    let unusable = || format!("cannot use the EL2 binary {}", hypervisor.display());
    let elf = std::fs::read(&hypervisor).with_context(unusable)?;
    if let Some(byte) = image::El2::read(&elf).with_context(unusable)?.differs_from(&bundle) {
        bail!(
            "the image {} does not hold the EL2 binary {} (byte {byte:#x} differs): give the one that it was built \
             with as --hypervisor, or run this from the checkout it was built from",
            path.display(),
            hypervisor.display()
        );
    }
    let lines = Lines::read(&elf, el2::checkout()).with_context(unusable)?;
    let (name, mut log): (String, Box<dyn BufRead>) = match log {
        Some(log) => {
            let file = std::fs::File::open(log).with_context(|| format!("cannot read the log {}", log.display()))?;
            (log.display().to_string(), Box::new(BufReader::new(file)))
        }
        None => ("standard input".to_owned(), Box::new(std::io::stdin().lock())),
    };
    let count = symbolize::annotate(&mut *log, &mut std::io::stdout().lock(), &lines)?;
    ensure!(count != 0, "{name} has no line with `{MARK}` and addresses: give the console log of a panic of EL2");
    Ok(true)
}

/// Builds the EL2 binary that this checkout has for the board of an image.
fn build_el2_of(bundle: &[u8]) -> Result<PathBuf> {
    let board = image::system(bundle)?.board;
    let platform = board::find(&board).with_context(|| {
        format!("it is for board '{board}', which this version does not know: give its EL2 binary with --hypervisor")
    })?;
    el2::build(platform)
}

/// Writes a card image, and says so only if it would start.
fn sd_image(kernel: &Path, output: &Path, boot: &Path, disks: &[String]) -> Result<bool> {
    let disk = |text: &String| match file::size::parse(text) {
        Ok(bytes) => Disk::Empty(bytes),
        Err(_) => Disk::Copy(PathBuf::from(text)),
    };
    card::image::write(output, kernel, boot, &disks.iter().map(disk).collect::<Vec<_>>())?;
    sd_check(output, None)
}

fn sd_check(path: &Path, extract: Option<&Path>) -> Result<bool> {
    let shown = path.display();
    let unreadable = || format!("cannot read the card {shown}");
    let mut card = Card::new(std::fs::File::open(path).with_context(unreadable)?).with_context(unreadable)?;
    let report = card::check::check(&mut card, &platform_rpi4::BOARD);
    if !report.findings.is_empty() {
        for Finding { place, problem, help } in &report.findings {
            eprintln!("error: {problem}\n  --> {shown}: {place}\n  = help: {help}\n");
        }
        let count = match report.findings.len() {
            1 => "1 mistake".to_owned(),
            n => format!("{n} mistakes"),
        };
        eprintln!("error: {shown} has {count}");
        return Ok(false);
    }
    println!("{shown}: a card for {}", platform_rpi4::BOARD.name);
    for (name, words) in &report.found {
        println!("  {name:<24} {words}");
    }
    if let Some((folder, volume)) = extract.zip(report.volume) {
        card::image::extract(&mut card, &volume, folder)?;
    }
    Ok(true)
}

/// The plan, or its mistakes on stderr.
fn planned(source: &Source) -> Option<Plan> {
    plan(source).map_err(|mistakes| complain(source, &mistakes)).ok()
}

fn complain(source: &Source, mistakes: &[Diagnostic]) {
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let renderer = if is_coloured { Renderer::styled() } else { Renderer::plain() };
    eprint!("{}", render(&source.shown, &source.text, mistakes, &renderer));
}

fn summary(plan: &Plan) -> String {
    let served = usize::from(plan.system.service.is_some());
    let mut partitions = match plan.system.partitions.len() - served {
        1 => "1 partition".to_owned(),
        n => format!("{n} partitions"),
    };
    partitions += if served == 1 { " and the service partition" } else { "" };
    let machine = plan.system.machine;
    format!("{partitions} on {}, {} cores, {}", plan.platform.board.name, machine.cores, addr::ByteSize(machine.memory))
}
