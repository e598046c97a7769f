//! Memory that goes from blocks that are over to those to come.
//!
//! What is given back to the system has to be asked for again, page by page: of the engine's CPU that was a tenth.
//!
//! **Invariant:** there is never more of it than blocks have needed at the same time, and what has grown for a huge record
//! is not kept.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

/// Where rooms come from, and go back to.
#[derive(Clone, Debug)]
pub struct Rooms(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    room_bytes: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer, which goes back to where it came from when it is dropped.
#[derive(Debug, Default)]
pub struct Room {
    bytes: Vec<u8>,
    home: Option<Rooms>,
}

impl Rooms {
    /// Rooms of so many bytes, each of which may grow. Memory that is not written to costs nothing.
    pub fn new(room_bytes: usize) -> Rooms {
        Rooms(Arc::new(Shared { room_bytes, free: Mutex::default() }))
    }

    /// An empty room.
    pub fn take(&self) -> Room {
        let free = self.0.free.lock().ok().and_then(|mut free| free.pop());
        Room { bytes: free.unwrap_or_else(|| Vec::with_capacity(self.0.room_bytes)), home: Some(self.clone()) }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        if let (true, Ok(mut free)) = (bytes.capacity() <= self.0.room_bytes, self.0.free.lock()) {
            bytes.clear();
            free.push(bytes);
        }
    }
}

/// A room that comes from nowhere, and goes there.
impl From<Vec<u8>> for Room {
    fn from(bytes: Vec<u8>) -> Room {
        Room { bytes, home: None }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Room {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_room_is_used_again_when_the_last_piece_of_it_is_gone() {
        let rooms = Rooms::new(100);
        let mut room = rooms.take();
        room.extend_from_slice(b"rows");
        let memory = room.as_ptr();
        let data = Bytes::from_owner(room);
        let piece = data.slice(1..3);
        drop(data);
        assert_ne!(rooms.take().as_ptr(), memory, "a piece is still there");
        assert_eq!(piece, &b"ow"[..]);
        drop(piece);
        let again = [rooms.take(), rooms.take()];
        assert!(again.iter().any(|room| room.as_ptr() == memory) && again.iter().all(|room| room.is_empty()));
    }

    #[test]
    fn a_room_that_has_grown_is_not_kept() {
        let rooms = Rooms::new(10);
        let mut room = rooms.take();
        room.extend_from_slice(&[0; 1000]);
        drop(room);
        assert!(rooms.take().capacity() < 1000);
    }
}
