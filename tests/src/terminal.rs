//! A program on a pseudo-terminal of its own, as a user's shell would start it.
//!
//! The program leads a session with the terminal as its controlling terminal, so Ctrl-C means what it means to a user.

use crate::conversation::Conversation;
use crate::run::Run;
use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running program and the user's side of its terminal.
pub struct Terminal {
    /// What the user sees and types.
    pub console: Conversation,
    child: Child,
    directory: PathBuf,
}

impl Terminal {
    /// Starts `program` with `arguments` in the checkout, on a new terminal of 24 by 80 characters.
    pub fn start(run: &Run, program: &str, arguments: &[&str]) -> Result<Self> {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("no pseudo-terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })?;
        let name = ptsname(&master, Vec::new())?;
        let slave = File::options().read(true).write(true).open(OsStr::from_bytes(name.to_bytes()))?;

        let mut command = Command::new("setsid");
        // Not a group leader yet, so setsid becomes the program: its id is the session's.
        command.args(["--ctty", program]).args(arguments).current_dir(run.project.root());
        command
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave));
        // What a make above this program was told is not for the make below.
        for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "SYSTEM", "OUT", "KERNEL", "INITRD", "GIC"] {
            command.env_remove(variable);
        }
        let child = command.spawn().context("cannot run setsid: run `make setup`")?;
        let master = File::from(master);
        let console = Conversation::new(master.try_clone()?, master, run.deadline());
        Ok(Self { console, child, directory: run.new_directory("terminal")? })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // The whole group: make, its shell and QEMU. Gone already is fine.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
        let _ = std::fs::write(self.directory.join("console"), self.console.transcript().bytes_from(0));
    }
}
