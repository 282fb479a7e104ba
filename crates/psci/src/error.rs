//! Error codes of DEN0022 section 5.2.2, shared by the SMCCC calls.

/// Why a call was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum Error {
    /// The function does not exist.
    NotSupported = -1,
    /// An argument is out of range, or names a vCPU that is not of this partition.
    InvalidParameters = -2,
    /// CPU_ON of a vCPU that runs.
    AlreadyOn = -4,
    /// CPU_ON of a vCPU that is being started.
    OnPending = -5,
    /// An entry point that is not in the partition's RAM.
    InvalidAddress = -9,
}

impl Error {
    /// The value for X0, sign-extended to 64 bits: right for callers that read W0 and for those that read X0.
    pub const fn code(self) -> u64 {
        self as i8 as i64 as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn codes_are_negative_in_w0_and_in_x0() {
        assert_eq!(Error::NotSupported.code(), u64::MAX);
        assert_eq!(Error::InvalidParameters.code() as i64, -2);
        assert_eq!(Error::AlreadyOn.code() as i32, -4);
        assert_eq!(Error::OnPending.code() as i32, -5);
        assert_eq!(Error::InvalidAddress.code() as i32, -9);
    }
}
