//! `GET` and `POST /auth/{authType}/fallback/web`: client-server API, "Fallback" of the
//! User-Interactive Authentication API. A page in which a stage is completed without the client.

use edge::{ApiError, AxumResponse, Call, Class, RawCall, Response, State, own_request};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use ruma::{
    api::{auth_scheme::NoAccessToken, client::account::whoami},
    exports::serde_html_form,
    metadata,
};
use serde::Deserialize;
use users::{Password, Proof, Users};

use crate::interactive;

/// Longer forms are refused.
pub(super) const FORM_BYTES: usize = 16 * 1024;

/// Own request type: ruma's has a response of its own, and no POST.
pub(crate) struct Page {
    stage: String,
    session: String,
}

/// Own request type: a submitted page.
pub(crate) struct Submission {
    stage: String,
}

#[derive(Deserialize)]
struct Query {
    session: String,
}

#[derive(Deserialize)]
struct Form {
    session: String,
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
}

metadata! {
    @for Page,
    method: GET,
    rate_limited: false,
    authentication: NoAccessToken,
    history: {
        1.0 => "/_matrix/client/r0/auth/{auth_type}/fallback/web",
        1.1 => "/_matrix/client/v3/auth/{auth_type}/fallback/web",
    }
}

metadata! {
    @for Submission,
    method: POST,
    rate_limited: false,
    authentication: NoAccessToken,
    history: {
        1.0 => "/_matrix/client/r0/auth/{auth_type}/fallback/web",
        1.1 => "/_matrix/client/v3/auth/{auth_type}/fallback/web",
    }
}

own_request!(Page => whoami::v3::Response, |input| {
    let (stage,) = input.path()?;
    let Query { session } = input.query()?;
    Ok(Page { stage, session })
});

own_request!(Submission => whoami::v3::Response, |input| {
    let (stage,) = input.path()?;
    Ok(Submission { stage })
});

pub(crate) async fn page(call: Call<Page>) -> Result<AxumResponse<Response>, ApiError> {
    let Page { stage, session } = call.request;
    html(&form(&stage, &session, "")?)
}

pub(crate) async fn submit(
    State(users): State<Users>,
    mut call: RawCall<Submission>,
) -> Result<AxumResponse<Response>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = call.body.next().await? {
        body.extend_from_slice(&chunk);
    }
    let Form {
        session,
        username,
        password,
        token,
    } = serde_html_form::from_bytes(&body).map_err(ApiError::invalid_param)?;
    let stage = call.request.stage.as_str();
    let proof = match stage {
        "m.login.dummy" => Proof::Dummy,
        "m.login.registration_token" => Proof::RegistrationToken(token.unwrap_or_default()),
        "m.login.password" => {
            call.charge(Class::Login)?;
            Proof::Password {
                name: username,
                password: Password::new(password.unwrap_or_default()),
            }
        }
        _ => return Err(no_such_stage()),
    };
    match users
        .complete_stage(&session, proof)
        .await
        .map_err(interactive::refuse)?
    {
        Ok(()) => html(DONE),
        Err(refusal) => html(&form(stage, &session, interactive::explain(refusal).1)?),
    }
}

fn no_such_stage() -> ApiError {
    ApiError::not_found("There is no such stage here")
}

fn html(page: &str) -> Result<AxumResponse<Response>, ApiError> {
    let response = http::Response::builder()
        .status(StatusCode::OK)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CACHE_CONTROL, "no-store")
        .header(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'unsafe-inline'; form-action 'self'",
        )
        .body(page.to_owned().into())
        .map_err(ApiError::internal)?;
    Ok(AxumResponse(response))
}

/// The page of one stage, with the reason why the last attempt failed.
fn form(stage: &str, session: &str, error: &str) -> Result<String, ApiError> {
    let fields = match stage {
        "m.login.dummy" => "",
        "m.login.registration_token" => {
            r#"<p><label>Registration token <input name="token" required></label></p>"#
        }
        "m.login.password" => concat!(
            r#"<p><label>User name <input name="username" autocomplete="username" required>"#,
            r#"</label></p><p><label>Password <input name="password" type="password" "#,
            r#"autocomplete="current-password" required></label></p>"#,
        ),
        _ => return Err(no_such_stage()),
    };
    let session = escape(session);
    Ok(format!(
        "<!doctype html><html lang=\"en\"><title>Authentication</title><body><form method=\"post\">\
         <p>{error}</p><input type=\"hidden\" name=\"session\" value=\"{session}\">{fields}\
         <button>Continue</button></form></body></html>"
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The script is prescribed by the spec.
const DONE: &str = "<!doctype html><html lang=\"en\"><title>Authentication</title><body>\
<p>Done. You may close this page.</p><script>if (window.onAuthDone) { window.onAuthDone(); } \
else if (window.opener && window.opener.postMessage) { window.opener.postMessage(\"authDone\", \"*\"); }\
</script></body></html>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_cannot_break_out_of_the_page() {
        let page = form("m.login.dummy", "\"><script>", "").expect("a page");
        assert!(!page.contains("<script>"));
    }
}
