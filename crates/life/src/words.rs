//! The vocabulary: states, what happens, what follows. No behaviour.

/// Where a partition is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its RAM holds nothing of a guest, or an image on its way in.
    Empty,
    /// The image is complete; no vCPU has run yet.
    Loaded,
    /// vCPU 0 entered the guest.
    Running,
    /// The guest ended; cores are still leaving it, or a device still reads or writes its RAM.
    Stopping,
    /// No core runs in it and nothing writes its RAM, except EL2, which loads or clears it.
    Quiesced,
    /// Quiesced, and waits before it is loaded again.
    Crashed,
    /// Quiesced for good, RAM scrubbed: only a key brings it back.
    Stopped,
}

impl State {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Loaded => "loaded",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Quiesced => "quiesced",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// PSCI SYSTEM_OFF.
    Off,
    /// PSCI SYSTEM_RESET or SYSTEM_RESET2.
    Reset,
    /// The guest did what no verdict allows.
    Fault,
    /// Its watchdog starved.
    Watchdog,
    /// The user wants it anew.
    RestartKey,
    /// The user wants it gone.
    StopKey,
}

/// What happened to a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Boot, or the user's start key.
    Start,
    /// [`Action::Load`] is done.
    Loaded,
    /// A device that it cannot do without does not exist: instead of [`Event::Started`].
    Unserved,
    /// [`Action::Load`] found its payloads changed since the image was built.
    Damaged,
    /// [`Action::Enter`] is done: vCPU 0 is in the guest.
    Started,
    /// The guest ended, or a key is to end it.
    Ended(Reason),
    /// [`Action::StopCores`] is done: no core will run another instruction of this life, and no device reads or writes
    /// its RAM for it.
    CoresLeft,
    /// The time of [`Action::Wait`] has passed.
    Waited,
    /// [`Action::Clear`] is done.
    Cleared,
}

/// What EL2 does next. All but `None` take time; their end is an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing.
    None,
    /// Scrub (except at cold boot) and copy the pristine image; then [`Event::Loaded`] or [`Event::Damaged`].
    Load,
    /// Enter the guest at its first instruction; then [`Event::Started`].
    Enter,
    /// Make every core of the partition leave the guest, and every device be quiet; then [`Event::CoresLeft`].
    StopCores,
    /// [`Event::Waited`] after this time, unless the state is no longer [`State::Crashed`] then.
    Wait {
        /// Milliseconds, at least 1.
        ms: u32,
    },
    /// Scrub its RAM: it stays stopped; then [`Event::Cleared`].
    Clear(Why),
}

/// Why a partition stays stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It switched itself off, and `on_off` does not bring it back.
    Off,
    /// It reset itself, and `on_reset` does not bring it back.
    Reset,
    /// It crashed or its watchdog starved, and `on_crash` does not bring it back.
    Crash,
    /// The user stopped it.
    Key,
    /// It was restarted as often as `restart_limit` allows.
    Limit,
    /// Its payloads are not what the image was built with.
    Damaged,
    /// A device that it cannot do without does not exist.
    Unserved,
}

/// Why a key does nothing now. The state stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is being loaded, stopped or cleared.
    Busy,
    /// To be started, but it runs.
    Running,
    /// To be stopped, but it is.
    Stopped,
}
