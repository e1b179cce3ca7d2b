//! `aqueduct dev-cert`: certificates for a federation on one machine.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::Failure;

const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca-key.pem";

/// Makes a certificate authority in the folder if it has none, and a certificate for the names
/// beside it.
pub(super) fn run(folder: &Path, names: &[String]) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    if !folder.join(AUTHORITY).exists() {
        make_authority(folder)?;
    }
    let first = names.first().ok_or("no name was given")?;
    let key = KeyPair::from_pem(&fs::read_to_string(folder.join(AUTHORITY_KEY))?)?;
    let issuer = Issuer::from_ca_cert_pem(&fs::read_to_string(folder.join(AUTHORITY))?, key)?;
    let own_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params
        .distinguished_name
        .push(DnType::CommonName, first.as_str());
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&own_key, &issuer)?;
    let file = first.replace(['/', ':', '[', ']'], "_");
    let (path, key_path) = (
        folder.join(format!("{file}.pem")),
        folder.join(format!("{file}-key.pem")),
    );
    fs::write(&path, certificate.pem())?;
    write_secret(&key_path, &own_key.serialize_pem())?;
    println!("tls.certificate = \"{}\"", path.display());
    println!("tls.key = \"{}\"", key_path.display());
    let authority = folder.join(AUTHORITY);
    println!("outgoing.ca_certificates = [\"{}\"]", authority.display());
    Ok(())
}

fn make_authority(folder: &Path) -> Result<(), Failure> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Aqueduct development");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    // The key first: an authority without one would be in the way.
    write_secret(&folder.join(AUTHORITY_KEY), &key.serialize_pem())?;
    fs::write(folder.join(AUTHORITY), certificate.pem())?;
    Ok(())
}

/// Only for the user who runs this.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}
