//! RocksDB's log format, in which its logs and its MANIFEST are written, read record by record.
//! RocksDB itself stops at the first record that it cannot read and drops the rest; here damage is
//! told apart from an end that was cut off, which is all that a crash leaves behind.
//!
//! A file is a series of blocks of 32 KiB. Each holds fragments (checksum, length, kind, bytes); a
//! record is one fragment, or a first, middle ones and a last.

use std::{borrow::Cow, ops::Range};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// The records of a file, up to the first that cannot be read.
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    damage: Option<usize>,
}

pub(crate) struct Record<'a> {
    /// Where its fragments are in the file.
    pub(crate) place: Range<usize>,
    pub(crate) content: Cow<'a, [u8]>,
}

struct Fragment<'a> {
    start: usize,
    kind: u8,
    content: &'a [u8],
}

enum Read<'a> {
    Fragment(Fragment<'a>),
    End,
    /// From this offset on.
    Damage(usize),
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            damage: None,
        }
    }

    /// Where the first record begins that cannot be read; known when the iteration has ended.
    pub(crate) fn damage(&self) -> Option<usize> {
        self.damage
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.damage.is_some() {
            return None;
        }
        let mut start = None;
        let mut content = Vec::new();
        loop {
            let fragment = match fragment(self.bytes, self.at) {
                Read::Fragment(fragment) => fragment,
                Read::End => {
                    self.damage = start;
                    return None;
                }
                Read::Damage(at) => {
                    self.damage = Some(start.unwrap_or(at));
                    return None;
                }
            };
            let end = fragment.start + HEADER + fragment.content.len();
            match (fragment.kind, start) {
                (FULL, None) => {
                    self.at = end;
                    return Some(Record {
                        place: fragment.start..end,
                        content: Cow::Borrowed(fragment.content),
                    });
                }
                (FIRST, None) => start = Some(fragment.start),
                (MIDDLE | LAST, Some(_)) => {}
                _ => {
                    self.damage = Some(start.unwrap_or(fragment.start));
                    return None;
                }
            }
            self.at = end;
            content.extend_from_slice(fragment.content);
            if let (LAST, Some(start)) = (fragment.kind, start) {
                return Some(Record {
                    place: start..end,
                    content: Cow::Owned(content),
                });
            }
        }
    }
}

/// The fragment at `at`, or in the next block if this one has no room for a header.
fn fragment(bytes: &[u8], at: usize) -> Read<'_> {
    let left = BLOCK - at % BLOCK;
    let start = if left < HEADER { at + left } else { at };
    if start >= bytes.len() {
        // Less than a header's worth of padding may be missing as well.
        return Read::End;
    }
    whole_fragment(bytes, start).map_or(Read::Damage(start), Read::Fragment)
}

/// The fragment that begins exactly here, if there is a whole and undamaged one.
fn whole_fragment(bytes: &[u8], start: usize) -> Option<Fragment<'_>> {
    let header = bytes.get(start..start + HEADER)?;
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let kind = header[6];
    if !(FULL..=LAST).contains(&kind) || HEADER + length > BLOCK - start % BLOCK {
        return None;
    }
    let content = bytes.get(start + HEADER..start + HEADER + length)?;
    let stored = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), content);
    (stored == masked(sum)).then_some(Fragment {
        start,
        kind,
        content,
    })
}

/// RocksDB stores checksums masked, because what is checksummed may contain checksums.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// How many records begin after the damage at `damage`, as far as they can be found and
/// `is_expected` takes their first bytes for a record's. None: the file was cut off there.
pub(crate) fn records_after(
    bytes: &[u8],
    damage: usize,
    is_expected: impl Fn(&[u8]) -> bool,
) -> usize {
    let mut found = 0;
    let mut at = damage + 1;
    while at < bytes.len() {
        match whole_fragment(bytes, at) {
            Some(fragment) => {
                let begins = [FULL, FIRST].contains(&fragment.kind);
                found += usize::from(begins && is_expected(fragment.content));
                at += HEADER + fragment.content.len();
            }
            None => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes records as RocksDB does.
    fn file(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            let mut rest = *record;
            let mut is_first = true;
            loop {
                let left = BLOCK - bytes.len() % BLOCK;
                if left < HEADER {
                    bytes.resize(bytes.len() + left, 0);
                    continue;
                }
                let (now, later) = rest.split_at(rest.len().min(left - HEADER));
                let kind = match (is_first, later.is_empty()) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                let sum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), now);
                bytes.extend(masked(sum).to_le_bytes());
                bytes.extend(u16::try_from(now.len()).expect("small").to_le_bytes());
                bytes.push(kind);
                bytes.extend(now);
                rest = later;
                is_first = false;
                if later.is_empty() {
                    break;
                }
            }
        }
        bytes
    }

    fn contents(bytes: &[u8]) -> (Vec<usize>, Option<usize>) {
        let mut records = Records::new(bytes);
        let lengths = records
            .by_ref()
            .map(|record| record.content.len())
            .collect();
        (lengths, records.damage())
    }

    const LENGTHS: [usize; 5] = [100, 40_000, 32_747, 70_000, 5];

    fn example() -> Vec<u8> {
        let records = LENGTHS.map(|length| vec![7; length]);
        file(&records.each_ref().map(Vec::as_slice))
    }

    #[test]
    fn records_come_back_over_blocks() {
        assert_eq!(contents(&example()), (LENGTHS.to_vec(), None));
        assert_eq!(contents(&[]), (vec![], None));
    }

    #[test]
    fn a_file_that_was_cut_off_loses_its_last_record_alone() {
        let whole = example();
        for length in (0..whole.len()).rev().step_by(97) {
            let cut = &whole[..length];
            let (found, damage) = contents(cut);
            assert_eq!(found, LENGTHS[..found.len()]);
            if let Some(damage) = damage {
                assert_eq!(records_after(cut, damage, |_| true), 0, "at {length}");
            }
        }
    }

    #[test]
    fn damage_before_the_last_record_is_told_from_a_cut_off_end() {
        let whole = example();
        let last = whole.len() - LENGTHS[4] - HEADER;
        for at in (0..whole.len()).step_by(101) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let (found, damage) = contents(&damaged);
            if found.len() == LENGTHS.len() {
                continue; // Padding between blocks.
            }
            let damage = damage.expect("it is damaged");
            assert!(damage <= at);
            let after = records_after(&damaged, damage, |_| true);
            assert_eq!(after > 0, at < last, "at {at} of {last}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_no_records() {
        let mut bytes = file(&[b"one", b"two"]);
        bytes.resize(bytes.len() + 50_000, 0);
        let (found, damage) = contents(&bytes);
        assert_eq!(found, [3, 3]);
        assert_eq!(records_after(&bytes, damage.expect("zeros"), |_| true), 0);
    }
}
