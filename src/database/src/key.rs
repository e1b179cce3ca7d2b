//! The key codec: order-preserving and prefix-safe.
//!
//! `a < b` exactly when `encode(a) < encode(b)`, and no part's bytes run into the next part's, so
//! the rows under a leading part are the keys that start with its bytes. Numbers are big-endian of
//! fixed width. Text and bytes end with 0x00; inside them 0x00 is written 0x01 0x01, and 0x01 is
//! written 0x01 0x02. A [`Position`] is its stamp (8 bytes) and its index (4 bytes). A key is its
//! parts one after the other. These bytes are on disk: they never change.

use crate::{
    error::{Result, StoreError},
    stamp::Position,
};

const END: u8 = 0x00;
const ESCAPE: u8 = 0x01;

/// One part of a key.
pub trait KeyPart: Sized + Send {
    /// What queries pass: `&str` for `String`, the number itself for numbers.
    type Ref<'a>: Send;
    fn write(part: Self::Ref<'_>, out: &mut Vec<u8>);
    /// Takes this part off the front of `raw`.
    fn read(raw: &mut &[u8]) -> Result<Self>;
}

/// A newtype over `u64`, used as a key; see [`number_key!`](crate::number_key).
pub trait NumberKey: Copy + Eq + std::hash::Hash + Send + Sync + 'static {
    fn from_u64(number: u64) -> Self;
    fn to_u64(self) -> u64;
}

/// Makes a tuple struct with one public `u64` a part of keys.
#[macro_export]
macro_rules! number_key {
    ($name:ident) => {
        impl $crate::NumberKey for $name {
            fn from_u64(number: u64) -> Self {
                Self(number)
            }

            fn to_u64(self) -> u64 {
                self.0
            }
        }
    };
}

/// A whole key: one part, or a tuple of two to five.
pub trait Key: Sized + Send {
    type Ref<'a>: Send;
    fn encode(key: Self::Ref<'_>) -> Vec<u8>;
    fn decode(raw: &[u8]) -> Result<Self>;
}

/// A key that ends with the position of its entry: the table is a log, or many of them.
pub trait LogKey: Key {
    /// What names one log: `()`, a part, or a tuple of parts.
    type Log<'a>: Send;
    fn encode_log(log: Self::Log<'_>) -> Vec<u8>;
}

/// Leading parts of the key `K`: one part or a tuple, always fewer than `K` has.
pub trait PrefixOf<K> {
    fn encode(self) -> Vec<u8>;
}

/// The reference form of a key part, to find the part by it.
pub trait PartRef: Sized {
    type Part: KeyPart;
    fn write_part(self, out: &mut Vec<u8>);
}

macro_rules! integer_parts {
    ($($integer:ty),*) => { $(
        impl KeyPart for $integer {
            type Ref<'a> = Self;

            fn write(part: Self, out: &mut Vec<u8>) {
                out.extend_from_slice(&part.to_be_bytes());
            }

            fn read(raw: &mut &[u8]) -> Result<Self> {
                Ok(Self::from_be_bytes(take(raw)?))
            }
        }
        own_reference!($integer);
    )* };
}

macro_rules! own_reference {
    ($part:ty) => {
        impl PartRef for $part {
            type Part = Self;

            fn write_part(self, out: &mut Vec<u8>) {
                Self::write(self, out);
            }
        }
    };
}

integer_parts!(u8, u16, u32, u64);
own_reference!(bool);
own_reference!(Position);

impl<N: NumberKey> KeyPart for N {
    type Ref<'a> = Self;

    fn write(part: Self, out: &mut Vec<u8>) {
        u64::write(part.to_u64(), out);
    }

    fn read(raw: &mut &[u8]) -> Result<Self> {
        u64::read(raw).map(Self::from_u64)
    }
}

impl<N: NumberKey> PartRef for N {
    type Part = Self;

    fn write_part(self, out: &mut Vec<u8>) {
        Self::write(self, out);
    }
}

impl KeyPart for bool {
    type Ref<'a> = Self;

    fn write(part: Self, out: &mut Vec<u8>) {
        out.push(u8::from(part));
    }

    fn read(raw: &mut &[u8]) -> Result<Self> {
        match u8::read(raw)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StoreError::Corrupt("boolean in a key")),
        }
    }
}

impl KeyPart for Position {
    type Ref<'a> = Self;

    fn write(part: Self, out: &mut Vec<u8>) {
        out.extend_from_slice(&part.to_bytes());
    }

    fn read(raw: &mut &[u8]) -> Result<Self> {
        Ok(Self::from_bytes(take(raw)?))
    }
}

impl KeyPart for String {
    type Ref<'a> = &'a str;

    fn write(part: &str, out: &mut Vec<u8>) {
        write_escaped(part.as_bytes(), out);
    }

    fn read(raw: &mut &[u8]) -> Result<Self> {
        Self::from_utf8(read_escaped(raw)?).map_err(|_| StoreError::Corrupt("text in a key"))
    }
}

impl PartRef for &str {
    type Part = String;

    fn write_part(self, out: &mut Vec<u8>) {
        String::write(self, out);
    }
}

impl PartRef for &String {
    type Part = String;

    fn write_part(self, out: &mut Vec<u8>) {
        String::write(self, out);
    }
}

impl KeyPart for Vec<u8> {
    type Ref<'a> = &'a [u8];

    fn write(part: &[u8], out: &mut Self) {
        write_escaped(part, out);
    }

    fn read(raw: &mut &[u8]) -> Result<Self> {
        read_escaped(raw)
    }
}

impl PartRef for &[u8] {
    type Part = Vec<u8>;

    fn write_part(self, out: &mut Vec<u8>) {
        write_escaped(self, out);
    }
}

impl<const N: usize> KeyPart for [u8; N] {
    type Ref<'a> = &'a Self;

    fn write(part: &Self, out: &mut Vec<u8>) {
        out.extend_from_slice(part);
    }

    fn read(raw: &mut &[u8]) -> Result<Self> {
        take(raw)
    }
}

impl<const N: usize> PartRef for &[u8; N] {
    type Part = [u8; N];

    fn write_part(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// Room for most keys without growing.
const USUAL_LENGTH: usize = 40;

impl<A: KeyPart> Key for A {
    type Ref<'a> = A::Ref<'a>;

    fn encode(key: Self::Ref<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL_LENGTH);
        A::write(key, &mut out);
        out
    }

    fn decode(mut raw: &[u8]) -> Result<Self> {
        let key = A::read(&mut raw)?;
        finish(raw)?;
        Ok(key)
    }
}

macro_rules! tuple_keys {
    ($($part:ident $name:ident),*) => {
        impl<$($part: KeyPart),*> Key for ($($part,)*) {
            type Ref<'a> = ($($part::Ref<'a>,)*);

            fn encode(($($name,)*): Self::Ref<'_>) -> Vec<u8> {
                let mut out = Vec::with_capacity(USUAL_LENGTH);
                $($part::write($name, &mut out);)*
                out
            }

            fn decode(mut raw: &[u8]) -> Result<Self> {
                let key = ($($part::read(&mut raw)?,)*);
                finish(raw)?;
                Ok(key)
            }
        }
    };
}

tuple_keys!(A a, B b);
tuple_keys!(A a, B b, C c);
tuple_keys!(A a, B b, C c, D d);
tuple_keys!(A a, B b, C c, D d, E e);

macro_rules! prefixes {
    ($($given:ident $name:ident),*; $($rest:ident),*) => {
        impl<$($given: PartRef,)* $($rest: KeyPart),*>
            PrefixOf<($($given::Part,)* $($rest,)*)> for ($($given,)*)
        {
            fn encode(self) -> Vec<u8> {
                let ($($name,)*) = self;
                let mut out = Vec::with_capacity(USUAL_LENGTH);
                $($name.write_part(&mut out);)*
                out
            }
        }
    };
}

macro_rules! first_part_prefixes {
    ($($rest:ident),*) => {
        impl<R: PartRef, $($rest: KeyPart),*> PrefixOf<(R::Part, $($rest,)*)> for R {
            fn encode(self) -> Vec<u8> {
                let mut out = Vec::with_capacity(USUAL_LENGTH);
                self.write_part(&mut out);
                out
            }
        }
    };
}

first_part_prefixes!(B);
first_part_prefixes!(B, C);
first_part_prefixes!(B, C, D);
first_part_prefixes!(B, C, D, E);
prefixes!(A a, B b; C);
prefixes!(A a, B b; C, D);
prefixes!(A a, B b; C, D, E);
prefixes!(A a, B b, C c; D);
prefixes!(A a, B b, C c; D, E);
prefixes!(A a, B b, C c, D d; E);

impl LogKey for Position {
    type Log<'a> = ();

    fn encode_log((): ()) -> Vec<u8> {
        Vec::with_capacity(Self::LENGTH)
    }
}

impl<A: KeyPart> LogKey for (A, Position) {
    type Log<'a> = A::Ref<'a>;

    fn encode_log(log: Self::Log<'_>) -> Vec<u8> {
        <A as Key>::encode(log)
    }
}

macro_rules! log_keys {
    ($($part:ident),*) => {
        impl<$($part: KeyPart),*> LogKey for ($($part,)* Position) {
            type Log<'a> = ($($part::Ref<'a>,)*);

            fn encode_log(log: Self::Log<'_>) -> Vec<u8> {
                <($($part,)*) as Key>::encode(log)
            }
        }
    };
}

log_keys!(A, B);
log_keys!(A, B, C);
log_keys!(A, B, C, D);

fn take<const N: usize>(raw: &mut &[u8]) -> Result<[u8; N]> {
    let (part, rest) = raw
        .split_first_chunk()
        .ok_or(StoreError::Corrupt("short key"))?;
    *raw = rest;
    Ok(*part)
}

fn finish(rest: &[u8]) -> Result<()> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Corrupt("long key"))
    }
}

fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    // A fold, because it takes many bytes at a time, and `any` does not.
    let special = bytes
        .iter()
        .fold(0, |found, byte| found | u8::from(*byte <= ESCAPE));
    if special == 0 {
        out.extend_from_slice(bytes);
    } else {
        for byte in bytes {
            match *byte {
                special @ (END | ESCAPE) => out.extend_from_slice(&[ESCAPE, special + 1]),
                plain => out.push(plain),
            }
        }
    }
    out.push(END);
}

fn read_escaped(raw: &mut &[u8]) -> Result<Vec<u8>> {
    let unfinished = StoreError::Corrupt("unfinished text in a key");
    let end = raw.iter().position(|byte| *byte == END).ok_or(unfinished)?;
    let (part, rest) = raw.split_at(end);
    *raw = &rest[1..];
    if !part.contains(&ESCAPE) {
        return Ok(part.to_vec());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut part = part.iter();
    while let Some(byte) = part.next() {
        bytes.push(match (*byte, *byte == ESCAPE) {
            (plain, false) => plain,
            (_, true) => match part.next() {
                Some(1) => END,
                Some(2) => ESCAPE,
                _ => return Err(StoreError::Corrupt("escape in a key")),
            },
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
