//! `aqueduct check`: reads the whole database of a server that does not run.

use database::SystemClock;
use database_rocksdb::{Checked, Options, Repair, check, repair_logs};
use tokio_util::task::TaskTracker;

use super::{Failure, restore::single_use_tables};
use crate::{cli::CheckArguments, config::Config};

pub(super) fn run(config: &Config, arguments: &CheckArguments) -> Result<(), Failure> {
    let options = Options::new(&config.database.path, TaskTracker::new())
        .with_server_name(config.server_name.as_str());
    if arguments.repair {
        return repair(&options);
    }
    let checked = check(&options)?;
    println!("read {} rows", checked.rows);
    if let Some(torn) = &checked.torn {
        println!(
            "{} ends in a record that was being written when the server stopped; the next start drops it",
            torn.log.display()
        );
    }
    report(&checked)
}

fn report(checked: &Checked) -> Result<(), Failure> {
    if checked.findings.is_empty() {
        println!("no damage was found");
        return Ok(());
    }
    for finding in &checked.findings {
        println!("{finding}");
    }
    if let Some(repair) = &checked.repair {
        println!("`aqueduct check --repair` would {}", plan(repair));
    }
    Err(format!("{} findings", checked.findings.len()).into())
}

fn repair(options: &Options) -> Result<(), Failure> {
    let Some(repaired) = repair_logs(options, &single_use_tables(), &SystemClock)? else {
        println!("the logs are in order: nothing to repair");
        return Ok(());
    };
    println!("repaired the log: {}", plan(&repaired.repair));
    println!(
        "the damaged database is kept as {}",
        repaired.original.display()
    );
    Ok(())
}

fn plan(repair: &Repair) -> String {
    format!(
        "keep everything before byte {} of {} ({} groups of commits of this log), and give up at least {} groups after it",
        repair.at,
        repair.log.display(),
        repair.kept,
        repair.lost
    )
}
