//! One test for each rule, on rings that are written word by word.

mod blk;
mod chain;
mod console;
mod driver;
mod entropy;
mod net;
mod notify;
mod queue;
mod ram;
mod resume;
