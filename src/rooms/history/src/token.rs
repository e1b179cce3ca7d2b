//! The tokens that clients hold: `since` of `/sync`, `from`, `to` and `at` of everything that pages through a room.
//!
//! Nothing is stored per token. Each begins with its format's name and version (`s1`, `p1`), so that a later release can
//! tell old ones. Wherever the spec takes "a token of /sync or of an earlier answer", [`AnyToken`] takes both.

use std::{fmt, str::FromStr};

use database::{Position, Stamp};
use rooms_store::FIRST_FILLED_SLOT;

/// How far a `/sync` got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncToken {
    /// Everything up to here was told.
    pub stamp: Stamp,
    /// The run of the server that `counter` counts in: with another one, what is in memory is told again.
    pub boot: u64,
    /// The last change of who types that was told.
    pub counter: u64,
    /// The last change of presence that was told, in the same run.
    pub presence: u64,
    /// How many are online in rooms was told, up to the same change.
    pub online: bool,
    /// The last to-device message that was told, where not all of them fitted.
    pub to_device: Option<Position>,
}

/// A gap between two events of a room, and the stamp of the answer that told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaginationToken {
    /// The gap is right behind this position, whether or not an event stands there.
    pub position: Position,
    /// What `/members?at=` means by it.
    pub stamp: Stamp,
}

/// Either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyToken {
    Sync(SyncToken),
    Pagination(PaginationToken),
}

/// The text is no token of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this server")]
pub struct BadToken;

impl PaginationToken {
    /// The gap right before `position`: going backwards from it starts with what stands before.
    pub fn before(position: Position, stamp: Stamp) -> Self {
        Self {
            position: position.previous(),
            stamp,
        }
    }

    /// The gap right behind `position`.
    pub fn after(position: Position, stamp: Stamp) -> Self {
        Self { position, stamp }
    }

    /// Right behind everything that the commit of `stamp` and all earlier ones wrote, and before the events that later fill
    /// a gap in front of the next commit: those take the upper half of the slots.
    pub fn after_stamp(stamp: Stamp) -> Self {
        Self {
            position: Position(stamp, FIRST_FILLED_SLOT - 1),
            stamp,
        }
    }

    /// The gap before the first event of the room.
    pub fn beginning(stamp: Stamp) -> Self {
        Self {
            position: Position::MIN,
            stamp,
        }
    }
}

impl AnyToken {
    /// As a place in a room's timeline; of a sync, right behind all that it told.
    pub fn pagination(self) -> PaginationToken {
        match self {
            Self::Sync(token) => PaginationToken::after_stamp(token.stamp),
            Self::Pagination(token) => token,
        }
    }

    /// As a moment of the server.
    pub fn stamp(self) -> Stamp {
        match self {
            Self::Sync(token) => token.stamp,
            Self::Pagination(token) => token.stamp,
        }
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "s1_{:x}_{:x}_{:x}",
            self.stamp.0, self.boot, self.counter
        )?;
        if let Some(Position(stamp, slot)) = self.to_device {
            write!(f, "_{:x}.{slot:x}", stamp.0)?;
        }
        if self.presence > 0 {
            write!(f, "_p{:x}", self.presence)?;
        }
        if self.online {
            write!(f, "_o")?;
        }
        Ok(())
    }
}

impl FromStr for SyncToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let mut parts = text.strip_prefix("s1_").ok_or(BadToken)?.split('_');
        let mut next = || parts.next().ok_or(BadToken);
        let mut token = Self {
            stamp: Stamp(number(next()?)?),
            boot: number(next()?)?,
            counter: number(next()?)?,
            presence: 0,
            online: false,
            to_device: None,
        };
        // Each at most once, in the order in which they are written.
        let mut written = 0;
        while let Ok(part) = next() {
            let place = match part.split_at_checked(1) {
                Some(("p", counter)) => {
                    token.presence = number(counter)?;
                    2
                }
                Some(("o", "")) => {
                    token.online = true;
                    3
                }
                _ => {
                    token.to_device = Some(position(part)?);
                    1
                }
            };
            if place <= written {
                return Err(BadToken);
            }
            written = place;
        }
        Ok(token)
    }
}

impl fmt::Display for PaginationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position(stamp, slot) = self.position;
        write!(f, "p1_{:x}.{slot:x}_{:x}", stamp.0, self.stamp.0)
    }
}

impl FromStr for PaginationToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let parts = text
            .strip_prefix("p1_")
            .and_then(|rest| rest.split_once('_'));
        let (place, stamp) = parts.ok_or(BadToken)?;
        Ok(Self {
            position: position(place)?,
            stamp: Stamp(number(stamp)?),
        })
    }
}

impl fmt::Display for AnyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sync(token) => token.fmt(f),
            Self::Pagination(token) => token.fmt(f),
        }
    }
}

impl FromStr for AnyToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        if text.starts_with('s') {
            text.parse().map(Self::Sync)
        } else {
            text.parse().map(Self::Pagination)
        }
    }
}

/// Hexadecimal, without a sign.
fn number(text: &str) -> Result<u64, BadToken> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(BadToken);
    }
    u64::from_str_radix(text, 16).map_err(|_| BadToken)
}

fn position(text: &str) -> Result<Position, BadToken> {
    let (stamp, slot) = text.split_once('.').ok_or(BadToken)?;
    let slot = u32::try_from(number(slot)?).map_err(|_| BadToken)?;
    Ok(Position(Stamp(number(stamp)?), slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Position = Position(Stamp((1 << 63) + 77), 3);

    #[test]
    fn tokens_come_back_as_they_were_written() {
        let sync = SyncToken {
            stamp: Stamp(1 << 63),
            boot: u64::MAX,
            counter: 9,
            presence: 0,
            online: false,
            to_device: None,
        };
        let parts = [
            (None, 0, false),
            (Some(PLACE), 0, false),
            (None, 7, false),
            (None, 0, true),
            (Some(PLACE), 8, true),
        ];
        for (to_device, presence, online) in parts {
            let token = SyncToken {
                presence,
                online,
                to_device,
                ..sync
            };
            assert_eq!(token.to_string().parse(), Ok(token));
            assert_eq!(token.to_string().parse(), Ok(AnyToken::Sync(token)));
        }
        let token = PaginationToken {
            position: PLACE,
            stamp: Stamp(5),
        };
        assert_eq!(token.to_string().parse(), Ok(token));
        assert_eq!(token.to_string().parse(), Ok(AnyToken::Pagination(token)));
    }

    #[test]
    fn released_formats_stay_readable() {
        let sync = SyncToken {
            stamp: Stamp(16),
            boot: 1,
            counter: 2,
            presence: 0,
            online: false,
            to_device: Some(PLACE),
        };
        assert_eq!("s1_10_1_2_800000000000004d.3".parse(), Ok(sync));
        let page = PaginationToken {
            position: PLACE,
            stamp: Stamp(255),
        };
        assert_eq!("p1_800000000000004d.3_ff".parse(), Ok(page));
    }

    #[test]
    fn other_texts_are_refused() {
        let texts = [
            "",
            "s",
            "s1_",
            "s1_1_2",
            "s1_1_2_3_4",
            "s1_1_2_3_4.5_6",
            "s1_1_2_3_p1_p2",
            "s1_1_2_3_o_p2",
            "s1_1_2_3_o1",
            "s1_1_2_3_p",
            "s2_1_2_3",
            "p1_1.2",
            "p1_+1.2_3",
        ];
        for text in texts.iter().chain(&[
            "p1_1_2",
            "t47429-4392820",
            "s1_1_2_-3",
            "p1_1.fffffffff_1",
            "é",
        ]) {
            assert_eq!(text.parse::<AnyToken>(), Err(BadToken), "{text}");
        }
    }

    #[test]
    fn the_gap_before_an_event_is_behind_the_one_before_it() {
        let before = |place| PaginationToken::before(place, Stamp(0)).position;
        assert_eq!(before(PLACE), Position(PLACE.0, 2));
        assert_eq!(before(Position(Stamp(9), 0)), Position(Stamp(8), u32::MAX));
    }
}
