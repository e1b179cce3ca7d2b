//! What `Debug` writes, made fit for a page: long texts are cut, bytes are counted.

/// The longest text that is shown whole, in characters.
const LONGEST_TEXT: usize = 96;
/// Lists of more numbers than this are bytes.
const MOST_NUMBERS: usize = 8;
/// The first stamp of a new database.
const FIRST_STAMP: u64 = 1 << 63;

pub(super) fn shortened(written: &str) -> String {
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => text_length(rest),
            '[' => numbers_length(rest).unwrap_or(1),
            'S' if rest.starts_with("Stamp(") => rest.find(')').map_or(1, |end| end + 1),
            _ => first.len_utf8(),
        };
        let (part, after) = rest.split_at(length);
        match first {
            '"' => out.push_str(&cut(part)),
            '[' if length > 1 => out.push_str(&counted(part)),
            'S' if length > 1 => out.push_str(&stamp(part)),
            _ => out.push_str(part),
        }
        rest = after;
    }
    out
}

/// Bytes of the quoted text that `rest` begins with.
fn text_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Bytes of the list of plain numbers that `rest` begins with, if it is one.
fn numbers_length(rest: &str) -> Option<usize> {
    let end = rest.find(']')?;
    let is_numbers = rest[1..end]
        .chars()
        .all(|letter| letter.is_ascii_digit() || ", ".contains(letter));
    (is_numbers && end > 1).then_some(end + 1)
}

fn cut(text: &str) -> String {
    let plain = text.replace("\\\"", "\"");
    if plain.chars().count() <= LONGEST_TEXT {
        return plain;
    }
    let start: String = plain.chars().take(LONGEST_TEXT).collect();
    format!("{start}…\"")
}

fn counted(list: &str) -> String {
    match list.split(',').count() {
        few if few <= MOST_NUMBERS => list.to_owned(),
        many => format!("[{many} bytes]"),
    }
}

/// Stamps begin at 2^63, and how many commits there were before one is chance: what runs aside has its own.
fn stamp(written: &str) -> String {
    let digits = written
        .trim_start_matches("Stamp(")
        .trim_end_matches(')')
        .parse();
    match digits {
        Ok(FIRST_STAMP..) => "Stamp(2^63 + n)".to_owned(),
        _ => written.to_owned(),
    }
}

#[test]
fn long_texts_are_cut_and_bytes_are_counted() {
    let long = "x".repeat(LONGEST_TEXT);
    assert_eq!(
        shortened(&format!("Row {{ a: \"{long}\\\"\" }}")),
        format!("Row {{ a: \"{}…\" }}", &long[1..])
    );
    let bytes = format!("{:?}", [7; 32]);
    assert_eq!(
        shortened(&format!("({bytes}, [1, 2])")),
        "([32 bytes], [1, 2])"
    );
    assert_eq!(shortened("(\"a]\", [])"), "(\"a]\", [])");
}
