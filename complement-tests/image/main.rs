//! The program inside the image (`../Dockerfile`): `start` prepares a container and becomes the
//! server, `health` is its health check. It is not a script because the base `scratch` has no
//! shell.
//!
//! Complement passes the server's name in `SERVER_NAME`, mounts its certificate authority under
//! `/complement/ca`, and starts one container several times.

mod certificate;

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

const AUTHORITY: &str = "/complement/ca";
const DATA: &str = "/data";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let result = match command.as_deref() {
        Some("start") => start(),
        Some("health") => health(),
        _ => Err("usage: complement-image start | health".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("complement-image: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Replaces this process with the server, which then receives Docker's signals directly.
fn start() -> Result<(), Box<dyn Error>> {
    let name = std::env::var("SERVER_NAME").map_err(|_| "SERVER_NAME is not set")?;
    fs::create_dir_all(DATA)?;
    if Path::new(AUTHORITY).join("ca.key").exists() {
        certificate::ensure(&name, Path::new(AUTHORITY), &Path::new(DATA).join("tls"))?;
    }
    let error = Command::new("/aqueduct/lib/loader")
        .args([
            "--library-path",
            "/aqueduct/lib",
            "/aqueduct/aqueduct",
            "serve",
        ])
        .env("AQUEDUCT_SERVER_NAME", name)
        .exec();
    Err(error.into())
}

fn health() -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect("127.0.0.1:8008")?;
    stream.set_read_timeout(Some(Duration::from_secs(4)))?;
    stream.write_all(
        b"GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    if &status == b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err("/versions does not answer 200".into())
    }
}
