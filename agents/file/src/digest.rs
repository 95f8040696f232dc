//! Checksums, read in blocks so that a cancel or a deadline ends them.

use crate::invalid;
use muster::{ActionCall, Error};
use sha2::digest::DynDigest;
use std::io::Read;

const BLOCK: usize = 256 * 1024;

/// The checksum in hexadecimal, and the number of bytes read.
pub fn digest_of(kind: &str, input: &mut impl Read, call: &ActionCall) -> Result<(String, u64), Error> {
    let mut digest: Box<dyn DynDigest> = match kind {
        "md5" => Box::new(md5::Md5::default()),
        "sha1" => Box::new(sha1::Sha1::default()),
        "sha256" => Box::new(sha2::Sha256::default()),
        "sha512" => Box::new(sha2::Sha512::default()),
        _ => return Err(invalid(format!("input type must be md5, sha1, sha256 or sha512, not '{kind}'"))),
    };
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        call.check()?;
        match input.read(&mut block)? {
            0 => break,
            count => {
                digest.update(&block[..count]);
                size += count as u64;
            }
        }
    }
    let hex = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, size))
}
