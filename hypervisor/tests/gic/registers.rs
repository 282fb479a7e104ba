//! Registers that ask the model instead of memory, under the names of `tock-registers`.

use crate::model;
use core::cell::UnsafeCell;
use tock_registers::UIntLike;
use tock_registers::interfaces::{Readable, Writeable};

/// What a register holds.
pub trait Word: UIntLike {
    /// From the model's 32 bits.
    fn from_model(value: u32) -> Self;
    /// To the model's 32 bits.
    fn to_model(self) -> u32;
}

impl Word for u32 {
    fn from_model(value: u32) -> Self {
        value
    }
    fn to_model(self) -> u32 {
        self
    }
}

impl Word for u8 {
    fn from_model(value: u32) -> Self {
        value as u8
    }
    fn to_model(self) -> u32 {
        self.into()
    }
}

macro_rules! registers {
    ($($name:ident)*) => {$(
        /// A register, known to the model by its address.
        #[repr(transparent)]
        pub struct $name<T>(UnsafeCell<T>);

        impl<T> $name<T> {
            fn address(&self) -> usize {
                self.0.get() as usize
            }
        }
    )*};
}
registers! { ReadOnly ReadWrite WriteOnly }

macro_rules! readable {
    ($($name:ident)*) => {$(
        impl<T: Word> Readable for $name<T> {
            type T = T;
            type R = ();
            fn get(&self) -> T {
                T::from_model(model::read(self.address(), size_of::<T>()))
            }
        }
    )*};
}
readable! { ReadOnly ReadWrite }

macro_rules! writeable {
    ($($name:ident)*) => {$(
        impl<T: Word> Writeable for $name<T> {
            type T = T;
            type R = ();
            fn set(&self, value: T) {
                model::write(self.address(), size_of::<T>(), value.to_model());
            }
        }
    )*};
}
writeable! { ReadWrite WriteOnly }
