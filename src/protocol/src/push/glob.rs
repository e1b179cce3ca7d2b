//! Glob patterns of push rules (appendices, "Glob-style matching"): `*` is any text, `?` one
//! character, case is ignored. Time is linear in the text, for patterns of bounded length.

use std::{
    collections::{HashMap, VecDeque},
    str::CharIndices,
};

/// Whether the pattern matches all of the text. Both are in lower case.
pub(super) fn matches_whole(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return match_at(pattern, text) == Some(text.len());
    };
    let Some(length) = match_at(first, text) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let mut text = &text[length..];
    for segment in middle.split('*') {
        let Some((at, length)) = find(segment, text) else {
            return false;
        };
        text = &text[at + length..];
    }
    ends_with(last, text)
}

/// Whether the pattern matches a part of the text that starts and ends at a word boundary. Both are in lower case.
pub(super) fn matches_words(pattern: &str, text: &str) -> bool {
    if pattern.is_empty() {
        return text.is_empty();
    }
    let Some((first, rest)) = pattern.split_once('*') else {
        return occurrences(pattern, text)
            .any(|(start, end)| starts_word(text, start) && ends_word(text, end));
    };
    // The earliest start leaves the most room for what follows.
    let start = if first.is_empty() {
        Some(0)
    } else {
        occurrences(first, text)
            .find(|(start, _)| starts_word(text, *start))
            .map(|(_, end)| end)
    };
    let Some(mut at) = start else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for segment in middle.split('*') {
        let Some((found, length)) = find(segment, &text[at..]) else {
            return false;
        };
        at += found + length;
    }
    last.is_empty() || occurrences(last, &text[at..]).any(|(_, end)| ends_word(text, at + end))
}

/// Whether the words, which are no pattern, stand in the text between word boundaries. Both are in
/// lower case.
pub(super) fn contains_words(words: &str, text: &str) -> bool {
    text.contains(words)
        && Occurrences::of(words, text, Segment::Literal)
            .any(|(start, end)| starts_word(text, start) && ends_word(text, end))
}

/// Every place where a segment without `*` matches, also where they overlap.
fn occurrences<'t>(segment: &str, text: &'t str) -> impl Iterator<Item = (usize, usize)> + 't {
    // Most texts have no word of a user's rules.
    let is_hopeless = !segment.contains('?') && !text.contains(segment);
    let text = if is_hopeless { "" } else { text };
    Occurrences::of(segment, text, Segment::Pattern)
}

/// The first place where a segment without `*` matches, and how long the match is.
fn find(segment: &str, text: &str) -> Option<(usize, usize)> {
    if !segment.contains('?') {
        return text.find(segment).map(|at| (at, segment.len()));
    }
    let (start, end) = Occurrences::of(segment, text, Segment::Pattern).next()?;
    Some((start, end - start))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    /// `?` is any character.
    Pattern,
    Literal,
}

/// The matches of a segment, found in one pass over the text: the shift-and algorithm, whose state
/// is one bit for each character of the segment.
struct Occurrences<'t> {
    /// By character, the places where the segment has it or `?`.
    places: HashMap<char, Box<[u64]>>,
    /// The places where the segment has `?`.
    any: Box<[u64]>,
    /// The characters that are matched so far, for every start at once.
    state: Box<[u64]>,
    text: CharIndices<'t>,
    length: usize,
    characters: usize,
    /// Where the last characters of the text start, as many as the segment has.
    starts: VecDeque<usize>,
}

impl<'t> Occurrences<'t> {
    fn of(segment: &str, text: &'t str, kind: Segment) -> Self {
        let characters = segment.chars().count();
        let words = characters.div_ceil(64).max(1);
        let mut any = vec![0; words].into_boxed_slice();
        let is_any = |char: char| char == '?' && kind == Segment::Pattern;
        for (place, _) in segment
            .chars()
            .enumerate()
            .filter(|(_, char)| is_any(*char))
        {
            any[place / 64] |= 1 << (place % 64);
        }
        let mut places = HashMap::new();
        for (place, char) in segment.chars().enumerate() {
            if !is_any(char) {
                let places: &mut Box<[u64]> = places.entry(char).or_insert_with(|| any.clone());
                places[place / 64] |= 1 << (place % 64);
            }
        }
        Self {
            places,
            any,
            state: vec![0; words].into_boxed_slice(),
            text: text.char_indices(),
            length: text.len(),
            characters,
            starts: VecDeque::with_capacity(characters),
        }
    }

    /// Takes one more character; whether the whole segment ends with it.
    fn take(&mut self, char: char) -> bool {
        let places = self.places.get(&char).unwrap_or(&self.any);
        let mut carry = 1;
        for (word, places) in self.state.iter_mut().zip(places) {
            let next = *word >> 63;
            *word = ((*word << 1) | carry) & places;
            carry = next;
        }
        let last = self.characters - 1;
        self.state[last / 64] & (1 << (last % 64)) != 0
    }
}

impl Iterator for Occurrences<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            let (at, char) = self.text.next()?;
            if self.characters == 0 {
                return Some((at, at));
            }
            if self.starts.len() == self.characters {
                self.starts.pop_front();
            }
            self.starts.push_back(at);
            if self.take(char) {
                let end = self.text.clone().next().map_or(self.length, |(end, _)| end);
                return Some((*self.starts.front()?, end));
            }
        }
    }
}

fn match_at(segment: &str, text: &str) -> Option<usize> {
    if !segment.contains('?') {
        return text.starts_with(segment).then_some(segment.len());
    }
    let mut rest = text.chars();
    for wanted in segment.chars() {
        let char = rest.next()?;
        if wanted != '?' && wanted != char {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}

fn ends_with(segment: &str, text: &str) -> bool {
    if !segment.contains('?') {
        return text.ends_with(segment);
    }
    let mut rest = text.chars().rev();
    segment.chars().rev().all(|wanted| {
        rest.next()
            .is_some_and(|char| wanted == '?' || wanted == char)
    })
}

fn starts_word(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at..].chars().next();
    !before.is_some_and(is_word) || !after.is_some_and(is_word)
}

fn ends_word(text: &str, at: usize) -> bool {
    starts_word(text, at)
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_values() {
        for (pattern, text) in [
            ("", ""),
            ("abc", "abc"),
            ("a*", "a"),
            ("*", ""),
            ("*", "x"),
            ("lunc?*", "lunch plans"),
            ("lunc?*", "lunch"),
            ("*b*", "abc"),
            ("a?c", "aéc"),
            ("a**c", "abbc"),
            ("?*?", "ab"),
            ("*?", "a"),
            ("a*bc", "abcbc"),
        ] {
            assert!(matches_whole(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("lunc?*", " lunch"),
            ("lunc?*", "lunc"),
            ("a", "ab"),
            ("?", ""),
            ("a*a", "a"),
            ("?*?", "a"),
        ] {
            assert!(!matches_whole(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn words_of_a_body() {
        for (pattern, text) in [
            ("ex*ple", "an example event."),
            ("ex*ple", "exple"),
            ("ex*ple", "an exciting triple-whammy"),
            ("cake", "cake!"),
            ("cake", "a cake"),
            ("cake", "pancake cake"),
            ("@room", "hi @room"),
            ("cak?", "(cake)"),
            ("*", "x"),
            ("c*", "a cake"),
            ("*e", "a cake"),
            ("é", "éa"),
            ("aa", "aaa aa"),
        ] {
            assert!(matches_words(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("cake", "pancake"),
            ("cake", "cakes"),
            ("cake", "cake_"),
            ("ex*ple", "example1s"),
            ("", "x"),
            ("cak?", "cakes"),
            ("b*", "ab"),
            ("*a", "ab"),
        ] {
            assert!(!matches_words(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn words_that_are_no_pattern() {
        assert!(contains_words("a*y", "so a*y!"));
        assert!(!contains_words("a*y", "so any"));
        assert!(!contains_words("al", "all"));
        assert!(contains_words("al", "all al"));
    }

    /// The definition, written down without a thought for speed.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            ['?', rest @ ..] => !text.is_empty() && slow(rest, &text[1..]),
            [char, rest @ ..] => text.first() == Some(char) && slow(rest, &text[1..]),
        }
    }

    fn slow_words(pattern: &[char], text: &[char]) -> bool {
        let is_boundary =
            |at: usize| at == 0 || at == text.len() || !is_word(text[at - 1]) || !is_word(text[at]);
        (0..=text.len()).filter(|at| is_boundary(*at)).any(|start| {
            (start..=text.len())
                .filter(|at| is_boundary(*at))
                .any(|end| slow(pattern, &text[start..end]))
        })
    }

    /// With quadratic time these take minutes.
    #[test]
    fn a_text_and_a_pattern_of_many_equal_parts_take_linear_time() {
        let text = "a-".repeat(32_000);
        for pattern in [
            format!("{}b", "a-".repeat(400)),
            format!("{}b", "a?".repeat(400)),
            format!("?{}b", "*?".repeat(300)),
            format!("{}b", "a*".repeat(400)),
        ] {
            assert!(!matches_words(&pattern, &text), "{pattern}");
            assert!(!matches_whole(&pattern, &text), "{pattern}");
        }
        assert!(!contains_words(
            &"a-".repeat(400),
            &"a-".repeat(32_000).replace('-', "a")
        ));
    }

    proptest! {
        #[test]
        fn segments_longer_than_a_word_of_bits(
            pattern in "[ab?]{60,140}", text in "[ab]{0,300}", at in 0..300_usize,
        ) {
            let part = pattern.replace('?', "b");
            let at = at.min(text.len());
            let text = format!("{}{part}{}", &text[..at], &text[at..]);
            let expected: Vec<usize> = (0..text.len())
                .filter(|start| match_at(&pattern, &text[*start..]).is_some())
                .collect();
            let found: Vec<usize> = occurrences(&pattern, &text).map(|(start, _)| start).collect();
            prop_assert!(!found.is_empty());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn the_fast_way_is_the_definition(pattern in "[ab é*?]{0,7}", text in "[ab é-]{0,9}") {
            let (pattern_chars, text_chars) =
                (pattern.chars().collect::<Vec<_>>(), text.chars().collect::<Vec<_>>());
            prop_assert_eq!(matches_whole(&pattern, &text), slow(&pattern_chars, &text_chars));
            if !pattern.is_empty() {
                prop_assert_eq!(matches_words(&pattern, &text), slow_words(&pattern_chars, &text_chars));
            }
        }
    }
}
