//! Proving to another service who one is: client-server API, "OpenID". The service asks `/openid/userinfo` of the server-server
//! API.

mod request_token;

use edge::Routes;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(request_token::request_token)
}
