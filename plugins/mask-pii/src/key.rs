//! Pseudonyms: HMAC-SHA-256 (RFC 2104, FIPS 180-4) under a key of the operator's.
//!
//! **Promise.** The same text of the same kind has the same pseudonym, under one key, in each run: tables can be joined
//! by it. Without the key nobody can compute it, so that guessing addresses and comparing does not help. A plain hash
//! would not hold that: all telephone numbers are hashed in minutes.

use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Bytes that SHA-256 works on at a time.
const BLOCK: usize = 64;

/// A key, as the two states that a message continues from.
#[derive(Clone)]
pub struct Key {
    inner: Sha256,
    outer: Sha256,
}

/// A pseudonym: half of the HMAC, which is plenty to keep a world's people apart.
pub type Pseudonym = [u8; 16];

impl Key {
    /// The key of these bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let state = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
        Self { inner: state(0x36), outer: state(0x5c) }
    }

    fn hmac(&self, write: impl FnOnce(&mut Sha256)) -> [u8; 32] {
        let mut inner = self.inner.clone();
        write(&mut inner);
        self.outer.clone().chain_update(inner.finalize()).finalize().into()
    }

    /// The pseudonym of a text in pieces. The kind keeps a name and an address apart that happen to be the same text.
    #[must_use]
    pub fn pseudonym(&self, kind: &str, pieces: impl Iterator<Item = char>) -> Pseudonym {
        let hmac = self.hmac(|inner| {
            inner.update(kind);
            inner.update([0]);
            pieces.for_each(|piece| inner.update(piece.encode_utf8(&mut [0; 4])));
        });
        let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hmac;
        first
    }
}

/// Reads the parameter.
impl FromStr for Key {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // Below that it can be guessed, even by trying all of them.
        if text.len() < 16 {
            return Err("a key has 16 characters at least, such as `openssl rand -hex 32` gives".into());
        }
        Ok(Self::new(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, sections 4.2, 4.3, 4.4, 4.7 (a key longer than a block).
    #[test]
    fn the_examples_of_the_rfc() {
        for (key, text, expected) in [
            (vec![0x0b; 20], b"Hi There".to_vec(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (vec![0xaa; 20], vec![0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&Key::new(&key).hmac(|inner| inner.update(&text))), expected);
        }
    }

    #[test]
    fn a_pseudonym_depends_on_key_kind_and_text() {
        let pseudonym = |key: &str, kind, text: &str| Key::new(key.as_bytes()).pseudonym(kind, text.chars());
        let one = pseudonym("k", "email", "a@b.de");
        assert_eq!(one, pseudonym("k", "email", "a@b.de"));
        assert_ne!(one, pseudonym("l", "email", "a@b.de"));
        assert_ne!(one, pseudonym("k", "name", "a@b.de"));
        assert_ne!(one, pseudonym("k", "email", "a@b.df"));
    }
}
