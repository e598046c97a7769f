//! What tells an archive from every other one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Kind, Result};

/// 128 random bits, in 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArchiveId(String);

const BYTES: usize = 16;

impl ArchiveId {
    /// One that nothing else has.
    ///
    /// # Errors
    /// [`Kind::Internal`] where the system gives no random bytes.
    pub fn random() -> Result<ArchiveId> {
        let mut bytes = [0u8; BYTES];
        let mut filled = 0;
        while filled < BYTES {
            let more = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
            filled += more.doing(Kind::Internal, || "the system gives no random bytes")?;
        }
        Ok(ArchiveId(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    /// Of what is no archive yet.
    pub fn none() -> ArchiveId {
        ArchiveId("0".repeat(2 * BYTES))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ArchiveId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.len() == 2 * BYTES && is_hexadecimal(&text) {
            true => Ok(ArchiveId(text)),
            false => Err("an archive's id has 32 hexadecimal digits"),
        }
    }
}

impl From<ArchiveId> for String {
    fn from(id: ArchiveId) -> String {
        id.0
    }
}

/// Whether a text has nothing but hexadecimal digits as we write them.
pub(super) fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
