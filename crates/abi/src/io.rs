//! How much of a partition's RAM the service partition sees.
//!
//! What it sees it can also have devices write to. What it does not see, it cannot reach by its own loads and stores.

use serde::{Deserialize, Serialize};

/// How much of a partition's RAM the service partition sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Io {
    /// All of it, where the partition has virtio devices.
    Open,
    /// The window: the lower of two banks. Its devices have VIRTIO_F_ACCESS_PLATFORM (virtio section 6).
    Window,
}
