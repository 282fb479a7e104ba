//! One QEMU: its arguments, its console as a conversation, its end.
//!
//! The console is QEMU's standard input and output, so no path is involved and two checkouts never meet. QEMU is
//! killed by its own process id when the value is dropped, and by the kernel when this program dies.
//! Nothing here knows what runs in the machine.

use crate::conversation::Conversation;
use crate::disk::Disk;
use crate::run::Run;
use crate::uplink::Uplink;
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The GIC of a `virt` machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicVersion {
    /// GICv2 with virtualization extensions.
    V2,
    /// GICv3.
    V3,
}

impl GicVersion {
    /// The number QEMU's `gic-version=` takes.
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// Arguments of a QEMU that is not yet started.
pub struct Recipe {
    arguments: Vec<OsString>,
}

impl Recipe {
    /// The `virt` machine of the promises: cortex-a72, four cores, 2 GiB, EL2.
    pub fn virt(gic: GicVersion) -> Self {
        Self::virt_with(gic, "cortex-a72", ",virtualization=on")
    }

    /// A `virt` machine with another CPU or other machine options (each with its comma).
    pub fn virt_with(gic: GicVersion, cpu: &str, options: &str) -> Self {
        let machine = format!("virt,gic-version={}{options}", gic.number());
        Self { arguments: Vec::new() }.arg("-M").arg(machine).arg("-cpu").arg(cpu).cores(4).memory("2G")
    }

    /// The `raspi4b` machine with `device_tree` as its firmware's tree.
    pub fn raspi4b(device_tree: &Path) -> Self {
        Self { arguments: Vec::new() }.arg("-M").arg("raspi4b").arg("-dtb").arg(device_tree)
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Cores, where the last one given counts.
    pub fn cores(self, count: u32) -> Self {
        self.arg("-smp").arg(count.to_string())
    }

    /// Memory, where the last one given counts.
    pub fn memory(self, size: &str) -> Self {
        self.arg("-m").arg(size)
    }

    /// The file that QEMU's own loader boots.
    pub fn kernel(self, image: &Path) -> Self {
        self.arg("-kernel").arg(image)
    }

    /// `file` as raw bytes at `address`.
    pub fn loaded(self, file: &Path, address: u64) -> Self {
        // QEMU splits options at commas and reads a doubled comma as one.
        let mut option = OsString::from("loader,force-raw=on,file=");
        option.push(file.to_string_lossy().replace(',', ",,"));
        option.push(format!(",addr={address:#x}"));
        self.arg("-device").arg(option)
    }

    /// Core 0 starts at `address`, all registers zero.
    pub fn entered_at(self, address: u64) -> Self {
        self.arg("-device").arg(format!("loader,cpu-num=0,addr={address:#x}"))
    }

    /// One more disk.
    pub fn disk(self, disk: &Disk) -> Self {
        disk.arguments().into_iter().fold(self, Self::arg)
    }

    /// A network device.
    pub fn uplink(self, uplink: &Uplink) -> Self {
        uplink.arguments().into_iter().fold(self, Self::arg)
    }

    /// A source of entropy, in a virtio-mmio transport of version 2.
    pub fn entropy(self) -> Self {
        self.arg("-global").arg("virtio-mmio.force-legacy=false").arg("-device").arg("virtio-rng-device")
    }

    /// Starts QEMU for `run`.
    pub fn start(self, run: &Run) -> Result<Machine> {
        let directory = run.new_directory("qemu")?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-aarch64"]);
        command.args(["-nodefaults", "-display", "none", "-monitor", "none"]);
        command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        command.args(&self.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(directory.join("stderr"))?);
        std::fs::write(directory.join("command"), format!("{command:?}\n"))?;
        let mut child = command.spawn().context("cannot start QEMU through setpriv: run `make setup`")?;
        let stdin = child.stdin.take().context("QEMU has no standard input")?;
        let stdout = child.stdout.take().context("QEMU has no standard output")?;
        Ok(Machine { console: Conversation::new(stdout, stdin, run.deadline()), child, directory })
    }
}

/// A running QEMU and the conversation on its console.
pub struct Machine {
    /// Its console.
    pub console: Conversation,
    child: Child,
    directory: PathBuf,
}

impl Machine {
    /// Waits until QEMU ends by itself with status 0: the machine has powered itself off.
    pub fn expect_power_off(&mut self, seconds: u64) -> Result<()> {
        let deadline = self.console.deadline(seconds);
        self.console.transcript().wait_end(deadline).context("waiting for power-off")?;
        // The console closes only when the process ends.
        let status = self.child.wait().context("waiting for QEMU")?;
        ensure!(status.success(), "QEMU ended with {status}: {}{}", self.complaint(), self.console.transcript().tail());
        Ok(())
    }

    /// Ends the machine as a power failure does.
    pub fn power_failure(mut self) -> Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).context("cannot end QEMU").map(drop)
    }

    /// What QEMU itself had to say.
    pub fn complaint(&self) -> String {
        std::fs::read_to_string(self.directory.join("stderr")).unwrap_or_default().trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Already ended is fine; both calls then do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Kept only when the test fails: the directory goes with a success.
        let _ = std::fs::write(self.directory.join("console"), self.console.transcript().bytes_from(0));
    }
}
