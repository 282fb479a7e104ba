//! The one validator: every resource has exactly one owner. Run on the host, in tests, and at boot.

use crate::{Board, System};
use core::fmt;

/// One broken rule, naming both owners.
#[derive(Clone, Debug, PartialEq)]
pub enum Mistake {}

impl fmt::Display for Mistake {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// Calls `report` for each broken rule of `system` on `board`.
pub fn validate(_board: &Board, _system: &System, _report: &mut dyn FnMut(Mistake)) {}
