//! Which servers this one federates with: `federation.enabled`, `federation.allow_servers`, `federation.deny_servers`.

use std::sync::Arc;

use ruma::{OwnedServerName, ServerName};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerPolicy(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    own: OwnedServerName,
    is_enabled: bool,
    /// Lower case. Empty: all servers.
    allowed: Vec<String>,
    denied: Vec<String>,
}

impl ServerPolicy {
    /// The lists hold globs over whole server names, port included: `*` is any text, `?` one character; case is ignored.
    pub fn new(
        own: OwnedServerName,
        is_enabled: bool,
        allowed: &[String],
        denied: &[String],
    ) -> Self {
        let lower = |list: &[String]| list.iter().map(|glob| glob.to_ascii_lowercase()).collect();
        Self(Arc::new(Rules {
            own,
            is_enabled,
            allowed: lower(allowed),
            denied: lower(denied),
        }))
    }

    /// Whether requests may go to the server, and come from it. Never to itself.
    pub fn permits(&self, server: &ServerName) -> bool {
        let rules = &*self.0;
        let name = server.as_str().to_ascii_lowercase();
        let is_in = |list: &[String]| {
            list.iter()
                .any(|glob| matches(glob.as_bytes(), name.as_bytes()))
        };
        rules.is_enabled
            && server != rules.own
            && (rules.allowed.is_empty() || is_in(&rules.allowed))
            && !is_in(&rules.denied)
    }

    pub fn is_enabled(&self) -> bool {
        self.0.is_enabled
    }
}

/// Goes back to the last `*` only, so it takes at most the product of both lengths.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while place < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                last_star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((star, from)) = last_star else {
                    return false;
                };
                last_star = Some((star, from + 1));
                at = star + 1;
                place = from + 1;
            }
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn policy(allowed: &[&str], denied: &[&str]) -> ServerPolicy {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let name = server_name!("own.example").to_owned();
        ServerPolicy::new(name, true, &own(allowed), &own(denied))
    }

    fn permits(policy: &ServerPolicy, name: &str) -> bool {
        policy.permits(<&ServerName>::try_from(name).expect("a server name"))
    }

    #[test]
    fn denying_wins() {
        let policy = policy(&["*.example"], &["bad.*"]);
        assert!(permits(&policy, "good.example"));
        assert!(!permits(&policy, "bad.example"));
        assert!(!permits(&policy, "good.test"));
        assert!(!permits(&policy, "own.example"), "never itself");
    }

    #[test]
    fn globs_cover_the_whole_name_with_its_port() {
        let policy = policy(&["a.example", "b.example:*", "C.EXAMPLE:844?"], &[]);
        assert!(permits(&policy, "a.example"));
        assert!(permits(&policy, "A.Example"));
        assert!(!permits(&policy, "a.example:8448"));
        assert!(!permits(&policy, "xa.example"));
        assert!(permits(&policy, "b.example:1"));
        assert!(!permits(&policy, "b.example"));
        assert!(permits(&policy, "c.example:8448"));
        assert!(!permits(&policy, "c.example:84"));
    }

    #[test]
    fn many_stars_take_no_time() {
        let glob = "*a".repeat(100);
        assert!(!matches(glob.as_bytes(), "b".repeat(250).as_bytes()));
        assert!(matches(b"**a*", b"xxayy"));
        assert!(matches(b"", b""));
        assert!(!matches(b"", b"a"));
    }

    #[test]
    fn nobody_where_federation_is_off() {
        let policy = ServerPolicy::new(server_name!("own.example").to_owned(), false, &[], &[]);
        assert!(!permits(&policy, "a.example"));
    }
}
