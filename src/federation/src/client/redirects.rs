//! Following redirects: bounded in number, never to another scheme than the request allows, and without
//! what was meant for the first host alone.

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, COOKIE, HOST, LOCATION},
};
use reqwest::Url;

use super::{ClientError, url};

pub(super) struct Redirects {
    left: u8,
    /// Whether any are followed; if not, a redirect is a response like others.
    are_followed: bool,
    schemes: url::Schemes,
}

impl Redirects {
    pub(super) fn new(most: u8, schemes: url::Schemes) -> Self {
        Self {
            left: most,
            are_followed: most > 0,
            schemes,
        }
    }

    /// The request to go on with; `None` where the response is the last one. Addresses are checked by the
    /// transport, as for any request.
    pub(super) fn next<B>(
        &mut self,
        request: &Request<Bytes>,
        response: &Response<B>,
    ) -> Result<Option<Request<Bytes>>, ClientError> {
        let is_redirect = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        if !self.are_followed || !is_redirect || request.method() != Method::GET {
            return Ok(None);
        }
        let Some(location) = response.headers().get(LOCATION) else {
            return Ok(None);
        };
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(ClientError::Redirect("there were too many"))?;
        let location = location
            .to_str()
            .map_err(|_| ClientError::Redirect("it is not ASCII"))?;
        let base = Url::parse(&request.uri().to_string())
            .map_err(|_| ClientError::InvalidUrl("it cannot be parsed"))?;
        let target = base
            .join(location)
            .map_err(|_| ClientError::Redirect("it is not a URL"))?;
        let target = url::parse(target.as_str(), self.schemes)?;
        if base.scheme() == "https" && target.scheme() != "https" {
            return Err(ClientError::Redirect("it leaves HTTPS"));
        }
        let mut next = request.clone();
        *next.uri_mut() = target
            .as_str()
            .parse()
            .map_err(|_| ClientError::Redirect("it is not a URI"))?;
        next.headers_mut().remove(HOST);
        if base.origin() != target.origin() {
            next.headers_mut().remove(AUTHORIZATION);
            next.headers_mut().remove(COOKIE);
        }
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request<Bytes> {
        Request::get("https://example.org/a/b")
            .header(HOST, "example.org")
            .header(AUTHORIZATION, "secret")
            .body(Bytes::new())
            .expect("a request")
    }

    fn redirect(to: &str) -> Response<()> {
        let response = Response::builder()
            .status(StatusCode::FOUND)
            .header(LOCATION, to);
        response.body(()).expect("a response")
    }

    fn follow(to: &str) -> Result<Option<Request<Bytes>>, ClientError> {
        Redirects::new(3, url::Schemes::HttpsAndHttp).next(&request(), &redirect(to))
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let same = follow("c?d").expect("it may").expect("it is a redirect");
        assert_eq!(same.uri(), "https://example.org/a/c?d");
        assert!(same.headers().contains_key(AUTHORIZATION));

        let other = follow("https://other.example/")
            .expect("it may")
            .expect("it is a redirect");
        assert!(!other.headers().contains_key(AUTHORIZATION));
        assert!(!other.headers().contains_key(HOST));
    }

    #[test]
    fn other_schemes_are_not_followed() {
        for to in [
            "http://example.org/",
            "file:///etc/passwd",
            "gopher://example.org/",
        ] {
            assert!(follow(to).is_err(), "{to}");
        }
    }

    #[test]
    fn a_loop_ends() {
        let mut redirects = Redirects::new(2, url::Schemes::Https);
        let mut next = || redirects.next(&request(), &redirect("/a/b"));
        assert!(next().is_ok());
        assert!(next().is_ok());
        assert_eq!(
            next().err(),
            Some(ClientError::Redirect("there were too many"))
        );
    }

    #[test]
    fn a_request_that_follows_none_gets_the_redirect_itself() {
        let mut redirects = Redirects::new(0, url::Schemes::Https);
        assert!(
            redirects
                .next(&request(), &redirect("/"))
                .expect("no error")
                .is_none()
        );
    }
}
