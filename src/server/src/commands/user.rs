//! `aqueduct user create` and `aqueduct user reset-password`.

use std::io::{self, IsTerminal as _};

use super::{Failure, execute};
use crate::{cli::UserCommand, config::Config, control::Request};

pub(super) fn run(config: &Config, command: UserCommand) -> Result<(), Failure> {
    let password = password()?;
    let request = match command {
        UserCommand::Create { name, admin } => Request::CreateUser {
            name,
            password,
            admin,
        },
        UserCommand::ResetPassword { name } => Request::ResetPassword { name, password },
    };
    execute(config, request)
}

/// Never an argument: every user of the machine can see those.
fn password() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ")?;
        if password != rpassword::prompt_password("Repeat it: ")? {
            return Err("the passwords differ".into());
        }
        return Ok(password);
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
