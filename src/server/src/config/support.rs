//! The section `support`: contacts for help, published under `/.well-known/matrix/support`.

use client_api::Support;
use edge::Operator;
use ruma::{
    OwnedUserId,
    api::client::discovery::discover_support::{Contact, ContactRole},
};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SupportSettings {
    page: Option<String>,
    contacts: Vec<ContactSettings>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactSettings {
    role: String,
    matrix_id: Option<OwnedUserId>,
    email_address: Option<String>,
}

impl SupportSettings {
    pub(crate) fn support(&self) -> Support {
        Support {
            contacts: self
                .contacts
                .iter()
                .filter_map(ContactSettings::contact)
                .collect(),
            page: self.page.clone(),
        }
    }

    /// Where errors about limits refer users to. Without any support settings, the server itself.
    pub(crate) fn operator(&self, public_base_url: String) -> Operator {
        let info_uri = self.page.clone().unwrap_or(public_base_url);
        let contact = self.contacts.iter().find_map(ContactSettings::uri);
        Operator {
            admin_contact: contact.unwrap_or_else(|| info_uri.clone()),
            info_uri,
        }
    }

    pub(super) fn mistakes(&self) -> Option<String> {
        let is_wrong = |contact: &ContactSettings| contact.contact().is_none();
        let text = "each of `support.contacts` needs `matrix_id` or `email_address`";
        self.contacts.iter().any(is_wrong).then(|| text.to_owned())
    }
}

impl ContactSettings {
    fn contact(&self) -> Option<Contact> {
        let role = ContactRole::from(self.role.as_str());
        let (email, user) = (self.email_address.clone(), self.matrix_id.clone());
        match (email, user) {
            (Some(email), user) => {
                let mut contact = Contact::with_email_address(role, email);
                contact.matrix_id = user;
                Some(contact)
            }
            (None, Some(user)) => Some(Contact::with_matrix_id(role, user)),
            (None, None) => None,
        }
    }

    fn uri(&self) -> Option<String> {
        let email = self.email_address.as_ref();
        let user = self.matrix_id.as_ref();
        email
            .map(|email| format!("mailto:{email}"))
            .or_else(|| user.map(|user| user.matrix_to_uri().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_refer_to_the_page_and_the_first_contact() {
        let settings: SupportSettings = toml::from_str(
            "page = \"https://example.org/help\"\n\
             contacts = [{ role = \"m.role.admin\", email_address = \"a@example.org\" }]",
        )
        .expect("it is valid");
        let operator = settings.operator("https://example.org".to_owned());
        assert_eq!(operator.info_uri, "https://example.org/help");
        assert_eq!(operator.admin_contact, "mailto:a@example.org");
        assert_eq!(settings.mistakes(), None);
    }

    #[test]
    fn a_contact_needs_an_address() {
        let settings: SupportSettings =
            toml::from_str("contacts = [{ role = \"m.role.admin\" }]").expect("it parses");
        assert!(settings.mistakes().is_some());
    }
}
