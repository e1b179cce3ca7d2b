//! One file per command.

mod backup;
mod check_config;
mod media;
mod restore;
mod serve;
mod status;
mod user;

use std::{error::Error, future::Future, io};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cli::{Arguments, Command},
    config::{self, Config},
    control::{self, Order},
    house::{Foundation, blocking},
};

/// Reported to people, not acted on.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (config, file) = config::load(arguments.config.as_deref())?;
    match arguments.command {
        Command::Serve => serve::run(config),
        Command::CheckConfig => {
            check_config::run(&config, file.as_deref());
            Ok(())
        }
        Command::Status => status::run(&config),
        Command::User(command) => user::run(&config, command),
        Command::Media(command) => media::run(&config, command),
        Command::Backup(arguments) => backup::run(&config, &arguments.folder),
        Command::Restore(arguments) => restore::run(&config, &arguments.folder),
    }
}

/// By the running server, else here, on the database itself.
fn carry_out(config: &Config, order: Order) -> Result<(), Failure> {
    let report = on_runtime(async {
        if let Some(report) = control::send(config, &order).await? {
            return Ok::<_, Failure>(report);
        }
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let foundation = Foundation::lay(config, &tasks, stop.clone()).await?;
        let report = order.carry_out(&foundation).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        blocking(move || drop(foundation)).await;
        Ok(report)
    })??;
    println!("{}", report?);
    Ok(())
}

fn on_runtime<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work))
}
