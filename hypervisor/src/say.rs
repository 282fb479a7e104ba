//! EL2's log lines, short. All go through one call into the `log` crate ([`crate::console::say`]): the crate's own macros
//! write out more than a hundred bytes of code and data for each line.

/// `log::info!`.
macro_rules! info {
    ($($text:tt)*) => { $crate::console::say(log::Level::Info, format_args!($($text)*)) };
}
/// `log::warn!`.
macro_rules! warn {
    ($($text:tt)*) => { $crate::console::say(log::Level::Warn, format_args!($($text)*)) };
}
/// `log::error!`.
macro_rules! error {
    ($($text:tt)*) => { $crate::console::say(log::Level::Error, format_args!($($text)*)) };
}
