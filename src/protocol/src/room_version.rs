//! The room versions that this server creates, joins and authorizes: 1 to 12 (rooms, "Room version specification").

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};

/// The supported room versions, oldest first.
pub const SUPPORTED: [RoomVersionId; 12] = [
    RoomVersionId::V1,
    RoomVersionId::V2,
    RoomVersionId::V3,
    RoomVersionId::V4,
    RoomVersionId::V5,
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

static V1: RoomVersionRules = RoomVersionRules::V1;
static V2: RoomVersionRules = RoomVersionRules::V2;
static V3: RoomVersionRules = RoomVersionRules::V3;
static V4: RoomVersionRules = RoomVersionRules::V4;
static V5: RoomVersionRules = RoomVersionRules::V5;
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
        RoomVersionId::V1 => Some(&V1),
        RoomVersionId::V2 => Some(&V2),
        RoomVersionId::V3 => Some(&V3),
        RoomVersionId::V4 => Some(&V4),
        RoomVersionId::V5 => Some(&V5),
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
    fn versions_are_in_order() {
        let names = SUPPORTED.map(|version| version.to_string());
        let expected = (1..=12).map(|number: u32| number.to_string());
        assert!(names.into_iter().eq(expected));
    }

    #[test]
    fn unknown_versions_are_not_supported() {
        for version in ["0", "13", "org.example.custom"] {
            let version = RoomVersionId::try_from(version).expect("a version id");
            assert!(rules(&version).is_none(), "version {version}");
        }
    }
}
