//! The room versions that this server creates, joins and authorizes: 6 to 12. Older ones lack canonical JSON or state
//! resolution 2, and no room on this server can be of theirs.

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};

/// The supported room versions, oldest first.
pub const SUPPORTED: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

static V6: RoomVersionRules = RoomVersionRules::V6;
static V7: RoomVersionRules = RoomVersionRules::V7;
static V8: RoomVersionRules = RoomVersionRules::V8;
static V9: RoomVersionRules = RoomVersionRules::V9;
static V10: RoomVersionRules = RoomVersionRules::V10;
static V11: RoomVersionRules = RoomVersionRules::V11;
static V12: RoomVersionRules = RoomVersionRules::V12;

/// The rules of a supported version; `None` for all others.
pub fn rules(version: &RoomVersionId) -> Option<&'static RoomVersionRules> {
    match version {
        RoomVersionId::V6 => Some(&V6),
        RoomVersionId::V7 => Some(&V7),
        RoomVersionId::V8 => Some(&V8),
        RoomVersionId::V9 => Some(&V9),
        RoomVersionId::V10 => Some(&V10),
        RoomVersionId::V11 => Some(&V11),
        RoomVersionId::V12 => Some(&V12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_version_has_its_own_rules() {
        for version in SUPPORTED {
            let known = version.rules().expect("ruma knows the version");
            let ours = rules(&version).expect("supported");
            assert_eq!(
                format!("{ours:?}"),
                format!("{known:?}"),
                "version {version}"
            );
        }
    }

    #[test]
    fn older_and_unknown_versions_are_not_supported() {
        for version in ["1", "5", "13", "org.example.custom"] {
            let version = RoomVersionId::try_from(version).expect("a version id");
            assert!(rules(&version).is_none(), "version {version}");
        }
    }
}
