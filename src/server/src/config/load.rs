//! Reading the configuration: a file, then variables over it. All mistakes are reported at once, none is passed over.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml::Table;

use super::{Config, names, variables};

const DEFAULT_FILE: &str = "conduit.toml";

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("the configuration is not valid:\n{}", list(.0))]
    Mistakes(Vec<String>),
}

/// The settings, and the file that they came from.
pub(crate) fn load(file: Option<&Path>) -> Result<(Config, Option<PathBuf>), ConfigError> {
    let path = file.map(Path::to_owned).or_else(|| {
        let path = PathBuf::from(DEFAULT_FILE);
        path.is_file().then_some(path)
    });
    let text = match &path {
        Some(path) => fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.clone(),
            error,
        })?,
        None => String::new(),
    };
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    });
    let config = read(&text, variables).map_err(ConfigError::Mistakes)?;
    Ok((config, path))
}

fn read(
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, Vec<String>> {
    let mut settings: Table = text.parse().map_err(|error| vec![format!("{error}")])?;
    let mut mistakes: Vec<_> = names::unknown(&settings)
        .iter()
        .map(|name| unknown(name))
        .collect();
    mistakes.extend(variables::overlay(&mut settings, variables));
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let config: Config = settings
        .try_into()
        .map_err(|error: toml::de::Error| vec![error.to_string()])?;
    let mistakes = config.mistakes();
    if mistakes.is_empty() {
        Ok(config)
    } else {
        Err(mistakes)
    }
}

fn unknown(name: &str) -> String {
    match names::nearest(name) {
        Some(near) => format!("unknown setting `{name}`: did you mean `{near}`?"),
        None => format!("unknown setting `{name}`"),
    }
}

fn list(mistakes: &[String]) -> String {
    let lines = mistakes
        .iter()
        .map(|mistake| format!("  {}", mistake.trim().replace('\n', "\n  ")));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../../../conduit.toml");

    fn from(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        read(text, variables.iter().map(own))
    }

    fn mistakes(text: &str, variables: &[(&str, &str)]) -> String {
        from(text, variables)
            .expect_err("it is not valid")
            .join("\n")
    }

    #[test]
    fn the_documented_file_changes_nothing() {
        let documented = from(DOCUMENTED, &[]).expect("it is valid");
        assert_eq!(
            format!("{documented:?}"),
            format!("{:?}", Config::default())
        );
    }

    #[test]
    fn the_documented_values_are_the_defaults() {
        // These have no fixed default: what is documented is an example.
        let examples = [
            "public_base_url",
            "mode",
            "token",
            "shared_secret",
            "username",
            "password",
            "path",
            "url",
            "endpoint",
            "bucket",
            "region",
            "access_key",
            "secret_key",
        ];
        let is_example = |line: &&str| {
            !examples
                .iter()
                .any(|name| line.starts_with(&format!("{name} =")))
        };
        let text = names::uncommented(DOCUMENTED);
        let text: Vec<_> = text.lines().filter(is_example).collect();
        let documented = from(&text.join("\n"), &[]).expect("it is valid");
        assert_eq!(
            format!("{documented:?}"),
            format!("{:?}", Config::default())
        );
    }

    #[test]
    fn every_setting_is_documented() {
        // Debug writes every field of the structs as `name: `.
        let debug = format!("{:#?}", Config::default());
        let fields = debug
            .lines()
            .filter_map(|line| line.trim().split_once(": "));
        for (field, _) in fields.filter(|(_, value)| *value != "Network {") {
            let is_there = DOCUMENTED.lines().any(|line| {
                line.strip_prefix('#')
                    .is_some_and(|line| line.starts_with(&format!("{field} =")))
                    || line.starts_with(&format!("[{field}]"))
                    || line.ends_with(&format!(".{field}]"))
            });
            assert!(is_there, "{field} is not in conduit.toml");
        }
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let config = from(
            "server_name = \"a.example\"\n[memory]\nbudget = \"64 MiB\"",
            &[
                ("AQUEDUCT_SERVER_NAME", "b.example"),
                ("AQUEDUCT_LISTEN", "127.0.0.1:1, [::1]:2"),
                ("AQUEDUCT_MEMORY__BUDGET", "1073741824"),
                ("AQUEDUCT_RATE_LIMITS__ENABLED", "false"),
                ("AQUEDUCT_RATE_LIMITS__LOGIN__BURST", "7"),
                ("PATH", "/bin"),
            ],
        )
        .expect("it is valid");

        assert_eq!(config.server_name, "b.example");
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.memory.budget.0, 1 << 30);
        assert!(!config.rate_limits.enabled);
        assert_eq!(config.rate_limits.login.burst, 7);
    }

    #[test]
    fn unknown_names_are_errors_that_name_the_nearest() {
        assert_eq!(
            mistakes("servername = \"a\"\n[log]\nlevle = \"info\"", &[]),
            "unknown setting `log.levle`: did you mean `log.level`?\n\
             unknown setting `servername`: did you mean `server_name`?"
        );
        assert_eq!(
            mistakes("", &[("AQUEDUCT_DATABASE_PATH", "x")]),
            "unknown variable AQUEDUCT_DATABASE_PATH: did you mean AQUEDUCT_DATABASE__PATH?"
        );
    }

    #[test]
    fn wrong_values_are_errors_that_name_the_setting() {
        assert!(mistakes("[log]\nformat = \"xml\"", &[]).contains("log.format"));
        assert!(mistakes("", &[("AQUEDUCT_RATE_LIMITS__ENABLED", "yes")]).contains("RATE_LIMITS"));
        assert!(mistakes("[memory]\nbudget = \"lots\"", &[]).contains("memory.budget"));
        assert!(mistakes("[registration]\nmode = \"token\"", &[]).contains("registration.token"));
        assert!(mistakes("[registration]\ntoken = \"\"", &[]).contains("empty"));
        assert!(mistakes("[turn]\nuris = [\"turn:a\"]", &[]).contains("turn.shared_secret"));
        assert!(mistakes("[turn]\nusername = \"a\"", &[]).contains("turn.password"));
        assert!(mistakes("[turn]\nuris = [\"http://a\"]", &[]).contains("turns:"));
        assert!(mistakes("default_room_version = \"5\"", &[]).contains("default_room_version"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = from(
            "[registration]\ntoken = \"hush\"\nshared_secret = \"hush\"\n\
             [turn]\nuris = [\"turn:a\"]\nshared_secret = \"hush\"",
            &[],
        );
        assert!(!format!("{:?}", config.expect("it is valid")).contains("hush"));
    }
}
