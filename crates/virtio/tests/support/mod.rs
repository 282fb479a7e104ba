//! What the tests share: RAM, and a driver that can do wrong.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod driver;
pub mod ram;
