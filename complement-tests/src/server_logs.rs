//! `--logs`: files about failed tests. `PACKAGE/TEST.txt` is the output of the test,
//! `PACKAGE/TEST.CONTAINER.log` are the logs of the servers while it ran, and `PACKAGE/servers/`
//! has the complete log of each server.
//!
//! Servers are shared by the tests of a package, so the part of a log that belongs to a test is
//! found by time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::output::Reader;

const SECONDS_A_DAY: u64 = 86_400;

/// When a failed test ran; both times are in Docker's format, which sorts chronologically.
pub(crate) struct Moment {
    pub(crate) test: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// The folder of one package.
pub(crate) struct Kept {
    folder: PathBuf,
}

impl Moment {
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with the clock of Docker's logs"
    )]
    pub(crate) fn now() -> String {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        timestamp(since.as_secs(), since.subsec_nanos())
    }
}

impl Kept {
    /// Creates the folder and the script that Complement calls before it removes a container.
    pub(crate) fn prepare(folder: &Path, package: &str) -> Result<Self, Failure> {
        let absolute =
            std::path::absolute(folder).map_err(|error| Failure::File(folder.to_owned(), error))?;
        let kept = Self {
            folder: absolute.join(package),
        };
        let servers = kept.folder.join("servers");
        fs::create_dir_all(&servers).map_err(|error| Failure::File(servers.clone(), error))?;
        let script = format!(
            "#!/bin/sh\nexec docker logs --timestamps \"$1\" >'{}'/\"$1\".log 2>&1\n",
            servers.display()
        );
        let path = kept.script();
        fs::write(&path, script)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|error| Failure::File(path.clone(), error))?;
        Ok(kept)
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.folder.join("keep-log")
    }

    pub(crate) fn keep_failed(&self, failed: &[Moment], reader: &Reader) -> Result<(), Failure> {
        let write = |path: PathBuf, text: &str| {
            fs::write(&path, text).map_err(|error| Failure::File(path.clone(), error))
        };
        for moment in failed {
            let path = self.folder.join(format!("{}.txt", moment.test));
            write(path, reader.printed(&moment.test))?;
        }
        let servers = self.folder.join("servers");
        let failure = |error| Failure::File(servers.clone(), error);
        for entry in servers.read_dir().map_err(failure)? {
            let path = entry.map_err(failure)?.path();
            let log = fs::read(&path).map_err(|error| Failure::File(path.clone(), error))?;
            let log = String::from_utf8_lossy(&log);
            let container: String = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .chars()
                .take(12)
                .collect();
            for moment in failed {
                let part = part_of(&log, moment);
                if !part.is_empty() {
                    write(
                        self.folder.join(format!("{}.{container}.log", moment.test)),
                        &part,
                    )?;
                }
            }
        }
        drop(fs::remove_file(self.script()));
        Ok(())
    }
}

fn part_of(log: &str, moment: &Moment) -> String {
    let mut part = String::new();
    for line in log.lines() {
        let at = line.split(' ').next().unwrap_or_default();
        if at >= moment.from.as_str() && at <= moment.to.as_str() {
            part.push_str(line);
            part.push('\n');
        }
    }
    part
}

/// RFC 3339 in UTC with nine digits of fraction. The date comes from counting 400-year cycles from
/// 1 March 2000.
fn timestamp(seconds: u64, nanoseconds: u32) -> String {
    let (days, of_day) = (seconds / SECONDS_A_DAY, seconds % SECONDS_A_DAY);
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year_of_cycle = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!(
        "{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_docker_does() {
        assert_eq!(timestamp(0, 5), "1970-01-01T00:00:00.000000005Z");
        assert_eq!(timestamp(951_782_400, 0), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(
            timestamp(1_782_921_599, 0),
            "2026-07-01T15:59:59.000000000Z"
        );
    }

    #[test]
    fn a_test_gets_the_lines_of_its_time() {
        let log = "2026-07-01T10:00:00.000000000Z before\n\
                   2026-07-01T10:00:01.000000000Z during\n\
                   2026-07-01T10:00:03.000000000Z after\n";
        let moment = Moment {
            test: "TestA".to_owned(),
            from: "2026-07-01T10:00:00.500000000Z".to_owned(),
            to: "2026-07-01T10:00:02.000000000Z".to_owned(),
        };

        assert_eq!(
            part_of(log, &moment),
            "2026-07-01T10:00:01.000000000Z during\n"
        );
    }
}
