//! One file per command.

mod backup;
mod check;
mod check_config;
mod completions;
mod dev_cert;
mod federation;
mod keys;
mod man;
mod media;
mod restore;
mod serve;
mod status;
mod user;

use std::{error::Error, future::Future, io};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{Base, blocking},
    cli::{Arguments, Command},
    config::{self, Config},
    control::{self, Request},
};

/// An error that is printed, and that no code acts on.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let load = || config::load(arguments.config.as_deref());
    match arguments.command {
        Command::Serve => serve::run(load()?.config),
        Command::CheckConfig { origins } => {
            let loaded = load()?;
            let settings = origins.then_some(&*loaded.settings);
            check_config::run(&loaded.config, loaded.file.as_deref(), settings);
            Ok(())
        }
        Command::Check(arguments) => check::run(&load()?.config, &arguments),
        Command::Status => status::run(&load()?.config),
        Command::User(command) => user::run(&load()?.config, command),
        Command::Backup(arguments) => backup::run(&load()?.config, &arguments.folder),
        Command::Restore(arguments) => restore::run(&load()?.config, &arguments.folder),
        Command::Completions { shell } => {
            completions::run(shell);
            Ok(())
        }
        Command::Man { folder } => man::run(&folder),
        Command::Keys(command) => keys::run(&load()?.config, &command),
        Command::Federation(command) => federation::run(&load()?.config, command),
        Command::DevCert(arguments) => dev_cert::run(&arguments.folder, &arguments.names),
        Command::Media(command) => media::run(&load()?.config, command),
    }
}

/// Lets the running server execute a request, or this process if no server runs.
fn execute(config: &Config, request: Request) -> Result<(), Failure> {
    let reply = on_runtime(async {
        if let Some(reply) = control::send(config, &request).await? {
            return Ok::<_, Failure>(reply);
        }
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let base = Base::open(config, &tasks, stop.clone()).await?;
        let reply = request.execute(&base).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        blocking(move || drop(base)).await;
        Ok(reply)
    })??;
    println!("{}", reply?);
    Ok(())
}

fn on_runtime<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work))
}
