//! `aqueduct user create` and `aqueduct user reset-password`.

use std::io::{self, IsTerminal as _};

use super::{Failure, carry_out};
use crate::{cli::UserCommand, config::Config, control::Order};

pub(super) fn run(config: &Config, command: UserCommand) -> Result<(), Failure> {
    let password = password()?;
    let order = match command {
        UserCommand::Create { name, admin } => Order::CreateUser {
            name,
            password,
            admin,
        },
        UserCommand::ResetPassword { name } => Order::ResetPassword { name, password },
    };
    carry_out(config, order)
}

/// Never from the command line, which every user of the machine can see.
fn password() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ")?;
        if password != rpassword::prompt_password("Once more: ")? {
            return Err("these are two different passwords".into());
        }
        return Ok(password);
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
