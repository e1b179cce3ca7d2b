//! What a page says of itself: OpenGraph and other `meta` tags, its title, its first words. One
//! pass over the tokens; no tree.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use serde_json::{Map, Value};

/// Properties that are kept, and characters of each.
const MOST_PROPERTIES: usize = 60;
const LONGEST: usize = 1000;
/// Characters of text that stand for a description.
const DESCRIPTION: usize = 300;
/// Elements whose text is not what a page is about.
const SILENT: [&[u8]; 10] = [
    b"script",
    b"style",
    b"noscript",
    b"nav",
    b"header",
    b"footer",
    b"aside",
    b"form",
    b"button",
    b"svg",
];

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    properties: Map<String, Value>,
    title: String,
    /// Of `meta name="description"`.
    summary: Option<String>,
    text: String,
    /// Where the image is, perhaps relative to the page.
    pub(super) image: Option<String>,
    /// Where a description by oEmbed is.
    pub(super) oembed: Option<String>,
}

impl Found {
    pub(super) fn of_image(url: &str) -> Self {
        Self {
            image: Some(url.to_owned()),
            ..Self::default()
        }
    }

    /// OpenGraph's word counts most, then the page's own.
    pub(super) fn into_json(mut self) -> Map<String, Value> {
        let title = tidy(&self.title, LONGEST);
        if !title.is_empty() {
            self.add("og:title", &title);
        }
        let text = tidy(&self.text, DESCRIPTION);
        if let Some(summary) = self.summary.take().or((!text.is_empty()).then_some(text)) {
            self.add("og:description", &summary);
        }
        self.properties
    }

    /// The first value of a property counts.
    fn add(&mut self, name: &str, value: &str) {
        if self.properties.len() < MOST_PROPERTIES && name.len() <= 100 {
            let value = tidy(value, LONGEST);
            self.properties.entry(name).or_insert_with(|| value.into());
        }
    }

    pub(super) fn add_oembed(&mut self, json: &[u8]) {
        let Ok(Value::Object(oembed)) = serde_json::from_slice::<Value>(json) else {
            return;
        };
        let text = |name: &str| oembed.get(name).and_then(Value::as_str);
        for (name, property) in [
            ("title", "og:title"),
            ("author_name", "article:author"),
            ("provider_name", "og:site_name"),
        ] {
            if let Some(value) = text(name) {
                self.add(property, value);
            }
        }
        let image = match text("type") {
            Some("photo") => text("url"),
            _ => None,
        };
        let image = image.or_else(|| text("thumbnail_url")).map(str::to_owned);
        self.image = self.image.take().or(image);
    }

    fn meta(&mut self, tag: &StartTag<()>) {
        let Some(content) = attribute(tag, b"content") else {
            return;
        };
        let name = attribute(tag, b"property").or_else(|| attribute(tag, b"name"));
        let name = name.unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "og:image" | "og:image:url" | "og:image:secure_url" | "twitter:image" => {
                let image = content.trim().to_owned();
                self.image = self.image.take().or((!image.is_empty()).then_some(image));
            }
            "description" => self.summary = self.summary.take().or(Some(content)),
            "twitter:title" => self.add("og:title", &content),
            "twitter:description" => self.add("og:description", &content),
            name if name.starts_with("og:") || name.starts_with("article:") => {
                self.add(name, &content);
            }
            _ => {}
        }
    }

    fn link(&mut self, tag: &StartTag<()>) {
        let kind = attribute(tag, b"type").unwrap_or_default();
        if kind.eq_ignore_ascii_case("application/json+oembed") && self.oembed.is_none() {
            self.oembed = attribute(tag, b"href");
        }
    }
}

pub(super) fn look(page: &str) -> Found {
    let mut found = Found::default();
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let (mut in_title, mut in_body, mut silent) = (false, false, 0_usize);
    for token in Tokenizer::new_with_emitter(page, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => match &**tag.name {
                b"meta" => found.meta(&tag),
                b"link" => found.link(&tag),
                b"title" => in_title = found.title.is_empty() && silent == 0,
                b"body" => in_body = true,
                name if SILENT.contains(&name) && !tag.self_closing => silent += 1,
                _ => {}
            },
            Token::EndTag(tag) => match &**tag.name {
                b"title" => in_title = false,
                name if SILENT.contains(&name) => silent = silent.saturating_sub(1),
                b"p" | b"div" | b"h1" | b"h2" | b"h3" | b"li" => found.text.push(' '),
                _ => {}
            },
            Token::String(text) => {
                let text = String::from_utf8_lossy(&text.value);
                if in_title && found.title.len() < 4 * LONGEST {
                    found.title.push_str(&text);
                } else if in_body && silent == 0 && found.text.len() < 8 * DESCRIPTION {
                    found.text.push_str(&text);
                }
            }
            _ => {}
        }
    }
    found
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value = tag.attributes.get(name)?;
    Some(String::from_utf8_lossy(&value.value).into_owned())
}

/// One space between words, and not too long.
fn tidy(text: &str, longest: usize) -> String {
    let mut tidy = String::new();
    for word in text.split_whitespace() {
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.push_str(word);
        if tidy.len() > 4 * longest {
            break;
        }
    }
    match tidy.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &tidy[..end]),
        None => tidy,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn opengraph_counts_more_than_what_the_page_shows() {
        let found = look(
            "<html><head><title>Plain &amp; simple</title><meta property=og:title content=' A  title '>\
             <meta property='og:image' content='/a.png'><meta property='og:image' content='/b.png'>\
             <meta name=description content='About'><script>var x = '<meta property=og:evil content=1>'\
             </script></head><body><p>Text</p></body></html>",
        );
        assert_eq!(found.image.as_deref(), Some("/a.png"));
        let json = Value::Object(found.into_json());
        assert_eq!(
            json,
            json!({ "og:title": "A title", "og:description": "About" })
        );
    }

    #[test]
    fn a_page_without_words_on_itself_is_described_by_its_first() {
        let found = look(
            "<title>Hi</title><body><nav>Menu</nav><h1>Head</h1><style>p{}</style><p>First <b>words</b>",
        );
        let json = Value::Object(found.into_json());
        assert_eq!(
            json,
            json!({ "og:title": "Hi", "og:description": "Head First words" })
        );
    }

    #[test]
    fn oembed_fills_what_is_missing() {
        let mut found = look(
            "<link rel=alternate type=application/json+oembed href=/oembed?u=1><title>T</title>",
        );
        assert_eq!(found.oembed.as_deref(), Some("/oembed?u=1"));
        found.add_oembed(br#"{"type":"video","title":"Film","thumbnail_url":"https://a/b.jpg","html":"<script>"}"#);
        assert_eq!(found.image.as_deref(), Some("https://a/b.jpg"));
        assert_eq!(
            Value::Object(found.into_json()),
            json!({ "og:title": "Film" })
        );
    }

    #[test]
    fn a_page_of_nothing_but_tags_ends() {
        let page = "<meta property='og:x' content='y'><nav>".repeat(20_000);
        let json = look(&page).into_json();
        assert_eq!(json.len(), 1);
        let tags = (0..5000).map(|n| format!("<meta property='og:{n}' content='{n}'>"));
        let page = tags.collect::<Vec<_>>().concat();
        assert_eq!(look(&page).into_json().len(), MOST_PROPERTIES);
    }

    #[test]
    fn long_words_are_cut_at_a_character() {
        assert_eq!(tidy(&"ä".repeat(2000), 10).chars().count(), 11);
    }
}
