//! What is signed of a request, and the header that carries the signature.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderValue, Method};
use protocol::{
    content::{Content, ContentError},
    event::Signer as _,
};
use ruma::ServerName;
use serde_json::Value;

use crate::keys::SigningKeyInUse;

#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the request's body cannot be signed: {0}")]
    Content(#[from] ContentError),
    #[error("the request cannot be signed: {0}")]
    Header(#[from] http::header::InvalidHeaderValue),
}

/// The `Authorization` header of a request to `destination`. `uri` is the path with the query, exactly as it is sent.
pub fn sign(
    key: &SigningKeyInUse,
    destination: &ServerName,
    method: &Method,
    uri: &str,
    body: &[u8],
) -> Result<HeaderValue, SignError> {
    let parts = Signed {
        origin: key.server_name(),
        destination,
        method,
        uri,
    };
    let message = parts.message(body)?;
    let signature = STANDARD_NO_PAD.encode(key.sign(message.as_bytes()));
    let header = format!(
        "X-Matrix origin=\"{}\",destination=\"{destination}\",key=\"{}\",sig=\"{signature}\"",
        key.server_name(),
        key.key_id(),
    );
    Ok(HeaderValue::from_str(&header)?)
}

/// What a signature covers beside the body.
pub(super) struct Signed<'a> {
    pub(super) origin: &'a ServerName,
    pub(super) destination: &'a ServerName,
    pub(super) method: &'a Method,
    pub(super) uri: &'a str,
}

impl Signed<'_> {
    /// Canonical JSON of the request. A request without a body has no `content`.
    pub(super) fn message(&self, body: &[u8]) -> Result<String, ContentError> {
        let mut message = String::with_capacity(body.len() + self.uri.len() + 512);
        message.push('{');
        if !body.is_empty() {
            message.push_str("\"content\":");
            message.push_str(&canonical(body)?);
            message.push(',');
        }
        for (name, value) in [
            ("destination", self.destination.as_str()),
            ("method", self.method.as_str()),
            ("origin", self.origin.as_str()),
            ("uri", self.uri),
        ] {
            if name != "destination" {
                message.push(',');
            }
            write!(message, "\"{name}\":{}", Value::from(value))
                .expect("writing to a String cannot fail");
        }
        message.push('}');
        Ok(message)
    }
}

/// Some servers let their users send numbers with fractions to devices, which canonical JSON does not have; these are
/// written as such a server writes them, so that its transactions can be checked.
fn canonical(body: &[u8]) -> Result<String, ContentError> {
    let text = str::from_utf8(body).map_err(|error| ContentError::NotJson(error.to_string()))?;
    match Content::parse(text) {
        Ok(content) => Ok(content.as_str().to_owned()),
        Err(ContentError::Number(_)) => {
            let value: Value = serde_json::from_str(text)
                .map_err(|error| ContentError::NotJson(error.to_string()))?;
            Ok(value.to_string())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn message(body: &str) -> String {
        let signed = Signed {
            origin: server_name!("a.example"),
            destination: server_name!("b.example"),
            method: &Method::PUT,
            uri: "/_matrix/federation/v1/send/1?x=%22",
        };
        signed.message(body.as_bytes()).expect("it is JSON")
    }

    #[test]
    fn the_message_is_canonical_json() {
        let rest = r#""destination":"b.example","method":"PUT","origin":"a.example","uri":"/_matrix/federation/v1/send/1?x=%22"}"#;
        assert_eq!(message(""), format!("{{{rest}"));
        assert_eq!(
            message("{ \"b\": [1, \"\\u00e4\"], \"a\": {} }"),
            format!("{{\"content\":{{\"a\":{{}},\"b\":[1,\"ä\"]}},{rest}")
        );
        assert_eq!(
            message("{ \"b\": 0.5, \"a\": 1 }"),
            format!("{{\"content\":{{\"a\":1,\"b\":0.5}},{rest}")
        );
    }
}
