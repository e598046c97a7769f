//! What tells a file from another without reading it whole.
//!
//! **Invariant:** a function of the file's contents alone: not of its name, its time or the machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// The unit of sampling; any change of this or of [`WINDOWS`] makes every file look changed to older ledgers.
const WINDOW_BYTES: u64 = 64 << 10;
/// How many windows are read of a file that is larger than all of them together, 4 MiB.
const WINDOWS: u64 = 64;

/// Size and sampled contents of a file. Two files with one fingerprint are taken for the same; a change between the
/// sampled windows that keeps the size is not seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of the file as it lies on disk.
    pub size_bytes: u64,
    /// XXH3-128 over the first 64 KiB, the last, and 62 evenly spread in between, in hexadecimal; over the whole of a
    /// file up to 4 MiB.
    pub xxh3: String,
}

impl Fingerprint {
    /// # Errors
    /// What the system says, or an unexpected end of a file that is shorter than `size`.
    pub(super) fn of(file: &File, size: u64) -> io::Result<Fingerprint> {
        let mut hasher = Xxh3::new();
        let mut window = vec![0; size.min(WINDOW_BYTES) as usize];
        for (at, length) in windows(size) {
            let window = &mut window[..length as usize];
            file.read_exact_at(window, at)?;
            hasher.update(window);
        }
        Ok(Fingerprint { size_bytes: size, xxh3: format!("{:032x}", hasher.digest128()) })
    }
}

/// Where the windows of a file begin, and their lengths.
fn windows(size: u64) -> impl Iterator<Item = (u64, u64)> {
    let count = size.div_ceil(WINDOW_BYTES).min(WINDOWS);
    let last = size.saturating_sub(WINDOW_BYTES);
    (0..count).map(move |window| {
        let at = match count < WINDOWS {
            true => window * WINDOW_BYTES,
            false => (u128::from(last) * u128::from(window) / u128::from(WINDOWS - 1)) as u64,
        };
        (at, WINDOW_BYTES.min(size - at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_lie_in_the_file_from_its_first_to_its_last_byte(size in prop_oneof![0..9u64 << 20, any::<u64>()]) {
            let windows: Vec<_> = windows(size).collect();
            prop_assert!(windows.len() as u64 <= WINDOWS);
            prop_assert!(windows.is_sorted());
            prop_assert!(windows.iter().all(|(_, length)| *length <= WINDOW_BYTES && *length > 0));
            prop_assert_eq!(windows.first().map_or(0, |(at, _)| *at), 0);
            prop_assert_eq!(windows.last().map_or(0, |(at, length)| at + length), size);
            let touch = windows.windows(2).all(|pair| pair[0].0 + pair[0].1 >= pair[1].0);
            prop_assert_eq!(touch, size <= WINDOWS * WINDOW_BYTES);
        }
    }
}
