//! The one gate: who may have which media.

use database::{Read, StoreError, UserNumber};

use crate::{
    id::Mxc,
    media::Media,
    tables::{MEDIA, MEDIA_VERDICTS, MediaRow, Verdict},
};

/// Who asks for media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A user of this server.
    User(UserNumber),
    /// Another server, by federation: it gets local media only.
    Server,
    /// Somebody without a token: they get what was stored before the freeze.
    Anyone,
    /// The operator, who also sees what is quarantined.
    Operator,
}

/// What the gate says of media.
#[derive(Clone, Debug)]
pub enum Access {
    Granted(Box<MediaRow>),
    /// It exists, and this asker does not get it.
    Denied,
    /// Nothing is stored under this name.
    Absent,
}

impl Media {
    /// Every read of media goes through here.
    pub async fn media_access(
        &self,
        db: &impl Read,
        who: Asker,
        mxc: &Mxc,
    ) -> Result<Access, StoreError> {
        let Some(row) = db.get(MEDIA.at(mxc.key())).await? else {
            return Ok(Access::Absent);
        };
        let is_theirs = match who {
            Asker::User(_) | Asker::Operator => true,
            Asker::Server => self.is_local(mxc),
            Asker::Anyone => row.is_open,
        };
        let verdict = db.get(MEDIA_VERDICTS.at(row.content)).await?;
        let is_quarantined = row.is_quarantined || verdict == Some(Verdict::Quarantined);
        if is_theirs && (who == Asker::Operator || !is_quarantined) {
            Ok(Access::Granted(Box::new(row)))
        } else {
            Ok(Access::Denied)
        }
    }
}
