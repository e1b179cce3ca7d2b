//! The events of other servers that this server signs, and nothing else of theirs: an invite of a local user ("Inviting to a room"),
//! and a join that a local user authorizes ("Restricted rooms"). Each is a type that only its check constructs.
//!
//! What is signed is the whole event as its own server has signed it: nobody can have another text signed.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{ServerName, UserId, events::TimelineEventType};
use serde_json::Value;

use super::{
    FormatError, Pdu, SignatureError,
    signatures::{check, has_content_hash},
};
use crate::{canonical::push_object, event::Signer, scan};

/// Why a foreign event is not signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// With the signature, it is too large.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// An invite of a user of this server, signed by the inviter's server.
pub struct ForeignInvite(Pdu);

/// A join of a user of another server, signed by that server, which names a user of this server as the one who authorizes it.
///
/// Whether that user may is for the caller to decide, before it signs.
pub struct AuthorizedJoin(Pdu);

impl ForeignInvite {
    /// `keys` is as for [`Pdu::verify`].
    pub fn check(
        pdu: Pdu,
        own: &ServerName,
        keys: impl Fn(&ServerName, &str) -> Option<[u8; 32]>,
    ) -> Result<Self, ForeignError> {
        let user = member_of(&pdu, "invite")?;
        if user.server_name() != own {
            return Err(ForeignError::Invalid("the user is of another server"));
        }
        verify(&pdu, own, &keys)?;
        Ok(Self(pdu))
    }

    /// The invited user's server agrees to the invite.
    pub fn sign(self, signer: &impl Signer) -> Result<Pdu, ForeignError> {
        sign(&self.0, signer)
    }
}

impl AuthorizedJoin {
    /// Whether a join names a user of this server as the one who authorizes it.
    pub fn names(pdu: &Pdu, own: &ServerName) -> bool {
        let content = pdu.auth_event().content();
        let via = scan::string_member(content, "join_authorised_via_users_server");
        let via = via.as_deref().and_then(|via| UserId::parse(via).ok());
        via.is_some_and(|via| via.server_name() == own)
    }

    /// `keys` is as for [`Pdu::verify`].
    pub fn check(
        pdu: Pdu,
        own: &ServerName,
        keys: impl Fn(&ServerName, &str) -> Option<[u8; 32]>,
    ) -> Result<Self, ForeignError> {
        let user = member_of(&pdu, "join")?;
        if user != *pdu.sender() || !Self::names(&pdu, own) {
            return Err(ForeignError::Invalid("nobody here authorizes this join"));
        }
        verify(&pdu, own, &keys)?;
        Ok(Self(pdu))
    }

    /// The event that is not signed by this server yet.
    pub fn pdu(&self) -> &Pdu {
        &self.0
    }

    /// The authorizing user's server agrees to the join.
    pub fn sign(self, signer: &impl Signer) -> Result<Pdu, ForeignError> {
        sign(&self.0, signer)
    }
}

/// The user whose membership an event sets to `word`.
fn member_of(pdu: &Pdu, word: &str) -> Result<ruma::OwnedUserId, ForeignError> {
    let content = pdu.auth_event().content();
    let user = pdu.state_key().and_then(|key| UserId::parse(key).ok());
    let is_change = *pdu.kind() == TimelineEventType::RoomMember
        && scan::string_member(content, "membership").as_deref() == Some(word);
    user.filter(|_| is_change)
        .ok_or(ForeignError::Invalid("this is another kind of event"))
}

/// The sender's server has signed it, and whoever else must, but this server; and it is whole.
fn verify(
    pdu: &Pdu,
    own: &ServerName,
    keys: &impl Fn(&ServerName, &str) -> Option<[u8; 32]>,
) -> Result<(), ForeignError> {
    let sender = pdu.sender().server_name();
    if sender == own {
        return Err(ForeignError::Invalid("the sender is of this server"));
    }
    let mut signers = pdu.signers();
    signers.retain(|server| server != own && server != sender);
    signers.push(sender.to_owned());
    check(pdu, &signers, keys)?;
    match has_content_hash(pdu.json()) {
        true => Ok(()),
        false => Err(ForeignError::Invalid("the content hash is wrong")),
    }
}

fn sign(pdu: &Pdu, signer: &impl Signer) -> Result<Pdu, ForeignError> {
    let signature = STANDARD_NO_PAD.encode(signer.sign(pdu.signing_text.as_bytes()));
    let all = scan::member(&pdu.json, "signatures").unwrap_or("{}");
    let malformed = |_| ForeignError::Format(FormatError::Field("signatures"));
    let mut all: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(all).map_err(malformed)?;
    all.entry(signer.server_name().to_string())
        .or_default()
        .insert(signer.key_id().to_owned(), signature.into());
    let all = serde_json::to_string(&all).map_err(malformed)?;
    let members = scan::members(&pdu.json)
        .map_err(|_| ForeignError::Format(FormatError::Field("signatures")))?;
    let others = members
        .into_iter()
        .filter(|(name, _)| *name != "signatures");
    let mut json = String::with_capacity(pdu.json.len() + 160);
    push_object(&mut json, others.chain([("signatures", all.as_str())]));
    Ok(Pdu::read(pdu.rules, &json)?)
}
