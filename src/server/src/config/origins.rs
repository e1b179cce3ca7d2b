//! Where each setting's value comes from, for `aqueduct check-config --origins`.

use std::{collections::HashSet, fmt};

use toml::Table;

use super::{names, variables};

/// A setting as it applies.
pub(crate) struct Setting {
    /// Such as `database.path`.
    pub(crate) name: String,
    pub(crate) value: Shown,
    pub(crate) origin: Origin,
}

/// A value that may be printed.
#[derive(Debug, PartialEq)]
pub(crate) enum Shown {
    Plain(String),
    Secret,
    /// Not set, and without a fixed default.
    Unset,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Origin {
    Default,
    File,
    /// The name of the environment variable.
    Variable(String),
}

/// All settings in the order of their names: `file` as it was read, `merged` with the variables on
/// top, and the names of all environment variables.
pub(super) fn settings(file: &Table, merged: &Table, environment: &HashSet<&str>) -> Vec<Setting> {
    let documented = names::all().into_iter();
    let settings = documented.map(|(name, documented)| {
        let variable = variables::variable(&name);
        let origin = if environment.contains(variable.as_str()) {
            Origin::Variable(variable)
        } else if names::find(file, &name).is_some() {
            Origin::File
        } else {
            Origin::Default
        };
        let value = match names::find(merged, &name) {
            Some(_) if names::is_secret(&name) => Shown::Secret,
            Some(value) => Shown::Plain(value.to_string()),
            None if names::WITHOUT_DEFAULT.contains(&name.as_str()) => Shown::Unset,
            None => Shown::Plain(documented.to_string()),
        };
        Setting {
            name,
            value,
            origin,
        }
    });
    settings.collect()
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => f.pad(value),
            Self::Secret => f.pad("(secret)"),
            Self::Unset => f.pad("(not set)"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;

    fn setting<'a>(settings: &'a [Setting], name: &str) -> &'a Setting {
        let found = settings.iter().find(|setting| setting.name == name);
        found.expect("the setting exists")
    }

    #[test]
    fn each_setting_names_its_origin_and_no_secret_is_shown() {
        let file: Table = "server_name = \"a.example\"\n[registration]\ntoken = \"hush\""
            .parse()
            .expect("valid TOML");
        let mut merged = file.clone();
        merged.insert("default_room_version".to_owned(), Value::from("11"));
        let environment = HashSet::from(["AQUEDUCT_DEFAULT_ROOM_VERSION", "PATH"]);

        let settings = settings(&file, &merged, &environment);

        let name = setting(&settings, "server_name");
        assert_eq!(name.origin, Origin::File);
        assert_eq!(name.value, Shown::Plain("\"a.example\"".to_owned()));
        let version = setting(&settings, "default_room_version");
        let variable = "AQUEDUCT_DEFAULT_ROOM_VERSION".to_owned();
        assert_eq!(version.origin, Origin::Variable(variable));
        assert_eq!(version.value, Shown::Plain("\"11\"".to_owned()));
        assert_eq!(
            setting(&settings, "registration.token").value,
            Shown::Secret
        );
        let url = setting(&settings, "public_base_url");
        assert_eq!((&url.value, &url.origin), (&Shown::Unset, &Origin::Default));
        let path = setting(&settings, "database.path");
        assert_eq!(path.value, Shown::Plain("\"./data\"".to_owned()));
    }
}
