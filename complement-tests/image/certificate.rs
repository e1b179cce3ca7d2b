//! The server's TLS certificate, signed by Complement's certificate authority (its README,
//! "Complement PKI").

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};

/// The header of an RSA key in PKCS #8 (RFC 5208): version 0 and the algorithm `rsaEncryption`
/// without parameters.
const PKCS8_RSA: [u8; 18] = [
    0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    0x05, 0x00,
];

const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Writes `server.crt` and `server.key` for `name` into `to`, unless an earlier start has written
/// them.
pub(crate) fn ensure(name: &str, authority: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    if to.join("server.key").exists() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    let (certificate, key) = sign(
        name,
        &fs::read_to_string(authority.join("ca.crt"))?,
        &fs::read_to_string(authority.join("ca.key"))?,
    )?;
    fs::write(to.join("server.crt"), certificate)?;
    fs::write(to.join("server.key"), key)?;
    Ok(())
}

/// Returns certificate and key as PEM.
fn sign(name: &str, ca: &str, ca_key: &str) -> Result<(String, String), Box<dyn Error>> {
    let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::try_from(as_pkcs8(ca_key)?)?)?;
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
        .subject_alt_names
        .push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(Ia5String::try_from(name)?),
        });
    parameters
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ServerAuth);
    let certificate = parameters.signed_by(&key, &issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// The key as PKCS #8. Complement writes PKCS #1 ("RSA PRIVATE KEY"), which is what PKCS #8 wraps.
fn as_pkcs8(pem: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = STANDARD.decode(body)?;
    if !pem.contains("BEGIN RSA PRIVATE KEY") {
        return Ok(der);
    }
    let mut inner = PKCS8_RSA.to_vec();
    inner.extend(tagged(OCTET_STRING, &der)?);
    tagged(SEQUENCE, &inner)
}

/// A DER value: tag, length, content.
fn tagged(tag: u8, content: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let length = u16::try_from(content.len()).map_err(|_| "the authority's key is too long")?;
    let mut value = vec![tag, 0x82];
    value.extend(length.to_be_bytes());
    value.extend(content);
    Ok(value)
}
