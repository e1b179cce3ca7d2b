//! Keys come back, keep their order, and are the bytes that were released.

use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::{RoomNumber, Stamp};

fn whole<K: Key>(key: K::Ref<'_>) -> Vec<u8> {
    K::encode(key)
}

fn comes_back<K: Key + PartialEq + Debug>(raw: &[u8], key: &K) {
    assert_eq!(K::decode(raw).as_ref(), Ok(key));
}

/// Text with many of the bytes that the codec treats specially.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\0\u{1}\u{2}a]{0,6}"]
}

fn position() -> impl Strategy<Value = Position> {
    any::<(u64, u32)>().prop_map(|(stamp, index)| Position(Stamp(stamp), index))
}

proptest! {
    #[test]
    fn text_keys_come_back_and_keep_their_order(a in text(), b in text()) {
        let (raw_a, raw_b) = (whole::<String>(&a), whole::<String>(&b));
        prop_assert_eq!(a.cmp(&b), raw_a.cmp(&raw_b));
        comes_back(&raw_a, &a);
    }

    #[test]
    fn tuples_come_back_and_keep_their_order(
        a in (text(), any::<u64>(), proptest::collection::vec(0_u8..4, 0..5), position()),
        b in (text(), any::<u64>(), proptest::collection::vec(0_u8..4, 0..5), position()),
    ) {
        type Tuple = (String, u64, Vec<u8>, Position);
        let raw_a = whole::<Tuple>((&a.0, a.1, &a.2, a.3));
        let raw_b = whole::<Tuple>((&b.0, b.1, &b.2, b.3));
        prop_assert_eq!(a.cmp(&b), raw_a.cmp(&raw_b));
        comes_back(&raw_a, &a);
    }

    #[test]
    fn small_parts_come_back_and_keep_their_order(
        a in any::<(u8, u16, u32, bool, [u8; 3])>(),
        b in any::<(u8, u16, u32, bool, [u8; 3])>(),
    ) {
        type Tuple = (u8, u16, u32, bool, [u8; 3]);
        let raw_a = whole::<Tuple>((a.0, a.1, a.2, a.3, &a.4));
        let raw_b = whole::<Tuple>((b.0, b.1, b.2, b.3, &b.4));
        prop_assert_eq!(a.cmp(&b), raw_a.cmp(&raw_b));
        comes_back(&raw_a, &a);
    }

    #[test]
    fn keys_are_under_a_prefix_exactly_if_their_parts_are(
        a in text(), room in any::<u64>(), b in text(), c in text(),
    ) {
        type Tuple = (String, RoomNumber, String);
        let raw = whole::<Tuple>((&a, RoomNumber(room), &b));
        let under_one = PrefixOf::<Tuple>::encode(c.as_str());
        prop_assert_eq!(raw.starts_with(&under_one), a == c);
        let under_two = PrefixOf::<Tuple>::encode((a.as_str(), RoomNumber(room)));
        prop_assert!(raw.starts_with(&under_two));
        let other = PrefixOf::<Tuple>::encode((c.as_str(), RoomNumber(room)));
        prop_assert_eq!(raw.starts_with(&other), a == c);
    }

    #[test]
    fn a_log_entry_is_the_log_and_its_position(log in text(), at in position()) {
        type Entry = (String, u8, Position);
        let mut raw = <Entry as LogKey>::encode_log((&log, 3));
        raw.extend_from_slice(&at.to_bytes());
        comes_back::<Entry>(&raw, &(log, 3, at));
    }

    #[test]
    fn damaged_keys_are_errors_and_no_panics(
        raw in proptest::collection::vec(0_u8..4, 0..40),
    ) {
        let _ = <(String, u64, Position)>::decode(&raw);
        let _ = <(Vec<u8>, bool)>::decode(&raw);
        let _ = <(u16, [u8; 4], String)>::decode(&raw);
    }
}

/// What released versions have written; these bytes never change.
#[test]
fn the_released_bytes_are_read_and_written() {
    let at = Position(Stamp((1 << 63) + 5), 7);
    let raw = whole::<(String, RoomNumber, bool, u16, Position)>((
        "a\0b\u{1}",
        RoomNumber(258),
        true,
        513,
        at,
    ));
    let fixture: &[u8] = &[
        b'a', 1, 1, b'b', 1, 2, 0, // the text and its end
        0, 0, 0, 0, 0, 0, 1, 2, // the room
        1, 2, 1, // true, 513
        0x80, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 7, // the position
    ];
    assert_eq!(raw, fixture);
    let key = ("a\0b\u{1}".to_owned(), RoomNumber(258), true, 513_u16, at);
    comes_back(fixture, &key);
}

#[test]
fn a_key_with_something_behind_it_is_damaged() {
    assert!(u64::decode(&[0; 9]).is_err());
    assert!(String::decode(b"a\0b").is_err());
    assert!(String::decode(b"a").is_err());
    assert!(bool::decode(&[2]).is_err());
}
