//! Lists of PDUs, spliced from the JSON that was signed.

use ruma::UInt;

/// Writes a JSON list.
pub(crate) fn write<'a>(out: &mut Vec<u8>, pdus: impl IntoIterator<Item = &'a str>) {
    out.push(b'[');
    for (at, pdu) in pdus.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(pdu.as_bytes());
    }
    out.push(b']');
}

/// How many events another server wants.
pub(crate) fn count(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)
}
