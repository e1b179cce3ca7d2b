//! Writes an answer as JSON into one vector, with commas where they belong; events are spliced in as they are.

use std::io::Write as _;

use rooms_history::client_json::write_text;

/// Keys and values in the order of the calls; opening and closing is up to the caller.
#[derive(Debug, Default)]
pub(crate) struct Json {
    out: Vec<u8>,
    /// Whether a value stands right before, so that a comma comes next.
    comma: bool,
}

/// A place to which the text can be taken back: sections that turn out empty are not told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    length: usize,
    comma: bool,
}

impl Json {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            comma: false,
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            length: self.out.len(),
            comma: self.comma,
        }
    }

    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.length);
        self.comma = mark.comma;
    }

    /// Whether nothing came since the mark.
    pub(crate) fn is_at(&self, mark: Mark) -> bool {
        self.out.len() == mark.length
    }

    pub(crate) fn open_object(&mut self) {
        self.before_value();
        self.out.push(b'{');
        self.comma = false;
    }

    pub(crate) fn close_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    pub(crate) fn open_array(&mut self) {
        self.before_value();
        self.out.push(b'[');
        self.comma = false;
    }

    pub(crate) fn close_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
    }

    pub(crate) fn key(&mut self, key: &str) {
        self.before_value();
        write_text(&mut self.out, key);
        self.out.push(b':');
        self.comma = false;
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.before_value();
        write_text(&mut self.out, text);
        self.comma = true;
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.before_value();
        write!(self.out, "{number}").expect("a vector takes every number");
        self.comma = true;
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.before_value();
        self.out.extend_from_slice(json.as_bytes());
        self.comma = true;
    }

    /// Where the elements of a list, which the caller separates by commas, can be appended. To be followed by `appended`.
    pub(crate) fn elements(&mut self) -> &mut Vec<u8> {
        self.before_value();
        &mut self.out
    }

    /// Whether anything came since the mark, so that a comma comes next. A comma that was written for nothing goes.
    pub(crate) fn appended(&mut self, since: Mark) {
        let separator = usize::from(since.comma);
        if self.out.len() == since.length + separator {
            self.rewind(since);
        } else {
            self.comma = true;
        }
    }

    fn before_value(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_values_only() {
        let mut json = Json::default();
        json.open_object();
        json.key("a\n");
        json.open_array();
        json.number(1);
        json.text("\"");
        json.boolean(true);
        json.close_array();
        let mark = json.mark();
        json.key("gone");
        json.open_object();
        json.close_object();
        json.rewind(mark);
        json.key("b");
        json.raw("{}");
        json.close_object();
        assert_eq!(json.into_bytes(), br#"{"a\n":[1,"\"",true],"b":{}}"#);
    }

    #[test]
    fn lists_take_elements_that_others_wrote() {
        let mut json = Json::default();
        json.open_array();
        for elements in ["", "1,2", "", "3"] {
            let mark = json.mark();
            json.elements().extend_from_slice(elements.as_bytes());
            json.appended(mark);
        }
        json.close_array();
        assert_eq!(json.into_bytes(), b"[1,2,3]");
    }
}
