//! Checks passwords: argon2id, one at a time, in a thread of its own that lives for one check.
//!
//! A check takes 19 MiB and a good part of a second on a small board, in which packets must not wait.

use std::cell::Cell;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use base64::Engine as _;
use smol::lock::Mutex;
use zeroize::Zeroizing;

use super::access::Password;
use crate::base::limits::{PASSWORD_MEMORY_KIB, PASSWORD_PASSES, PASSWORD_QUEUE_MAX};
use crate::node::api::ApiError;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Passwords {
    /// Held while one is checked.
    turn: Mutex<()>,
    /// Who waits for it, or has it.
    waiting: Cell<usize>,
}

/// One who waits.
struct Place<'a>(&'a Cell<usize>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Passwords {
    /// What is kept of a password.
    pub(super) async fn make(&self, password: &str, entropy: [u8; 32]) -> Result<Password, ApiError> {
        let salt = &entropy[..16];
        let hash = self.hash(password, salt, PASSWORD_MEMORY_KIB, PASSWORD_PASSES).await?;
        Ok(Password {
            memory: PASSWORD_MEMORY_KIB,
            passes: PASSWORD_PASSES,
            salt: BASE64.encode(salt),
            hash: BASE64.encode(hash),
        })
    }

    /// Whether a password is the one that is kept. Without one, for a user who does not exist, it takes as long and is wrong.
    pub(super) async fn is_right(&self, password: &str, kept: Option<&Password>) -> Result<bool, ApiError> {
        let (memory, passes) =
            kept.map_or((PASSWORD_MEMORY_KIB, PASSWORD_PASSES), |kept| (kept.memory, kept.passes));
        let salt = kept.and_then(|kept| BASE64.decode(&kept.salt).ok()).unwrap_or_else(|| vec![0; 16]);
        let hash = self.hash(password, &salt, memory, passes).await?;
        let wanted = kept.and_then(|kept| BASE64.decode(&kept.hash).ok()).unwrap_or_default();
        // The time that a comparison takes would tell bytes of a hash, from which no password follows.
        Ok(!wanted.is_empty() && wanted == hash)
    }

    /// Argon2id.
    async fn hash(
        &self,
        password: &str,
        salt: &[u8],
        memory: u32,
        passes: u32,
    ) -> Result<[u8; 32], ApiError> {
        if self.waiting.get() >= PASSWORD_QUEUE_MAX {
            return Err(ApiError::new(
                "too_many_attempts",
                "too many passwords are being checked",
                "try again in a moment",
            ));
        }
        self.waiting.set(self.waiting.get() + 1);
        let _place = Place(&self.waiting);
        let _turn = self.turn.lock().await;
        let (told, heard) = smol::channel::bounded(1);
        let (password, salt) = (Zeroizing::new(password.as_bytes().to_vec()), salt.to_vec());
        let work = move || {
            let mut hash = [0; 32];
            let done = Params::new(memory, passes, 1, Some(hash.len())).and_then(|params| {
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(&password, &salt, &mut hash)
            });
            let _ = told.try_send(done.map(|()| hash));
        };
        let failed = |why: String| {
            ApiError::new("internal", format!("the password could not be checked: {why}"), "try again")
        };
        std::thread::Builder::new()
            .name("nuthatch-login".to_owned())
            .stack_size(256 * 1024)
            .spawn(work)
            .map_err(|error| failed(error.to_string()))?;
        let hash = heard.recv().await.map_err(|error| failed(error.to_string()))?;
        hash.map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_is_right_and_a_missing_user_has_none() {
        smol::block_on(async {
            let passwords = Passwords::default();
            let kept = passwords.make("correct horse", [3; 32]).await.unwrap();
            assert_eq!(passwords.is_right("correct horse", Some(&kept)).await, Ok(true));
            assert_eq!(passwords.is_right("correct house", Some(&kept)).await, Ok(false));
            assert_eq!(passwords.is_right("", None).await, Ok(false));
            let broken = Password { hash: String::new(), ..kept.clone() };
            assert_eq!(passwords.is_right("correct horse", Some(&broken)).await, Ok(false));
            assert_eq!(passwords.waiting.get(), 0);
            let other = passwords.make("correct horse", [4; 32]).await.unwrap();
            assert_ne!(other.hash, kept.hash, "two users with one password cannot be told");
        });
    }
}
