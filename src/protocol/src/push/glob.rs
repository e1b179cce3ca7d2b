//! Glob patterns of push rules (appendices, "Glob-style matching"): `*` is any text, `?` one character, case is ignored. Time
//! is linear in the text for patterns without `?`, and never more than text times pattern.

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

/// Whether the words, which are no pattern, stand in the text between word boundaries. Both are in lower case.
pub(super) fn contains_words(words: &str, text: &str) -> bool {
    let mut from = 0;
    while let Some(at) = text[from..].find(words) {
        let (start, end) = (from + at, from + at + words.len());
        if starts_word(text, start) && ends_word(text, end) {
            return true;
        }
        let Some(char) = text[start..].chars().next() else {
            return false;
        };
        from = start + char.len_utf8();
    }
    false
}

/// Every place where a segment without `*` matches, also where they overlap.
fn occurrences<'a>(segment: &'a str, text: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let start = from?;
        let Some((at, length)) = find(segment, &text[start..]) else {
            from = None;
            return None;
        };
        let found = start + at;
        from = text[found..]
            .chars()
            .next()
            .map(|char| found + char.len_utf8());
        Some((found, found + length))
    })
}

/// The first place where a segment without `*` matches, and how long the match is.
fn find(segment: &str, text: &str) -> Option<(usize, usize)> {
    if !segment.contains('?') {
        return text.find(segment).map(|at| (at, segment.len()));
    }
    text.char_indices()
        .find_map(|(at, _)| Some((at, match_at(segment, &text[at..])?)))
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

    proptest! {
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
