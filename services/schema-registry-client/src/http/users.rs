//! Who may ask: HTTP Basic, with users and the bcrypt hashes of their passwords in a file, one
//! `user:hash` a line, as `htpasswd -B` writes them.
//!
//! A hash is slow on purpose. A password that was right once is recognised by a keyed digest from
//! then on; wrong ones are hashed one at a time, so that guessing cannot take the machine. A user
//! that does not exist takes as long as one whose password is wrong.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc7617>

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::Sha256;
use tokio::sync::Semaphore;

/// bcrypt reads no more of a password, in bytes.
const PASSWORD_BYTES_MAX: usize = 72;
/// The work of a new hash, as a power of two: about a twentieth of a second.
const COST: u32 = 10;
/// A higher one would hold every request up for seconds.
const COST_MAX: u32 = 14;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Users, and the hashes of their passwords.
#[derive(Clone)]
pub struct Users(Arc<Inner>);

struct Inner {
    hashes: BTreeMap<String, String>,
    /// Digests of the passwords that were right, by user.
    known: Mutex<BTreeMap<String, Vec<u8>>>,
    key: [u8; 32],
    /// A hash that nothing matches, for users that do not exist.
    nobody: String,
    turn: Semaphore,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.hashes.keys()).finish()
    }
}

impl Users {
    /// Reads a file of users.
    ///
    /// # Errors
    /// If it cannot be read, holds no user, or a line is not `user:hash` with a bcrypt hash.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let wrong = |reason: String| anyhow::anyhow!("the users in {shown} {reason}");
        let size = std::fs::metadata(path).map(|found| found.len());
        let size = size.map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if size > FILE_BYTES_MAX {
            return Err(wrong(format!("are more than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut hashes, mut cost) = (BTreeMap::new(), 0);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason: &str| format!("are wrong in line {number}: {reason}");
            let (user, hash) = line.split_once(':').ok_or_else(|| wrong("it is not user:hash"))?;
            let parts: bcrypt::HashParts =
                hash.parse().map_err(|_| wrong("its hash is none of bcrypt"))?;
            if parts.get_cost() > COST_MAX {
                return Err(wrong(&format!("the cost of its hash is above {COST_MAX}")));
            }
            cost = cost.max(parts.get_cost());
            if hashes.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(wrong("its user was there before"));
            }
        }
        if hashes.is_empty() {
            return Err("are none".to_owned());
        }
        let nobody = bcrypt::hash(STANDARD.encode(random()?), cost);
        let nobody = nobody.map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Inner {
            hashes,
            known: Mutex::default(),
            key: random()?,
            nobody,
            turn: Semaphore::new(1),
        })))
    }

    /// Tells whether a request is of a user.
    pub(crate) async fn admit(&self, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else { return false };
        if self.is_known(&user, &password) {
            return true;
        }
        let Ok(_turn) = self.0.turn.acquire().await else { return false };
        // While it waited, another request with the same password may have been right.
        if self.is_known(&user, &password) {
            return true;
        }
        let (inner, given) = (Arc::clone(&self.0), (user.clone(), password.clone()));
        let checking = tokio::task::spawn_blocking(move || {
            let (user, password) = given;
            let hash = inner.hashes.get(&user);
            let is_right = bcrypt::verify(password, hash.unwrap_or(&inner.nobody));
            hash.is_some() && is_right.unwrap_or(false)
        });
        let is_right = checking.await.unwrap_or(false);
        if is_right {
            let digest = self.digest(&password).finalize().into_bytes().to_vec();
            self.known().insert(user, digest);
        }
        is_right
    }

    fn is_known(&self, user: &str, password: &str) -> bool {
        let known = self.known();
        let digest = known.get(user);
        digest.is_some_and(|digest| self.digest(password).verify_slice(digest).is_ok())
    }

    fn digest(&self, password: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0.key);
        mac.expect("invariant: a key may have any length").chain_update(password)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    let filled = OsRng.try_fill_bytes(&mut bytes);
    filled.map(|()| bytes).map_err(|error| format!("need random numbers: {error}"))
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let is_fit = password.len() <= PASSWORD_BYTES_MAX;
    is_fit.then(|| (user.to_owned(), password.to_owned()))
}

/// Makes a line of the file of users.
///
/// # Errors
/// If the user or the password cannot be in one.
pub(crate) fn line(user: &str, password: &str) -> Result<String, String> {
    if user.is_empty() || user.contains(':') || user.contains(char::is_control) {
        return Err("a user's name is not empty, and has no colon and no line break".to_owned());
    }
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("a password has from 1 to {PASSWORD_BYTES_MAX} bytes"));
    }
    let hash = bcrypt::hash(password, COST).map_err(|error| error.to_string())?;
    Ok(format!("{user}:{hash}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode(text));
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn a_password_is_right_again_and_a_wrong_one_never() {
        // As `htpasswd -nbB -C 5 other geheim` writes it.
        let made = bcrypt::hash_with_result("geheim", 5).unwrap();
        let made = made.format_for_version(bcrypt::Version::TwoY);
        let text = format!("# who\n\n{}other:{made}\n", line("me", "a:b ü").unwrap());
        let users = Users::parse(&text).unwrap();
        for _ in 0..2 {
            assert!(users.admit(&basic("me:a:b ü")).await);
            assert!(users.admit(&basic("other:geheim")).await);
            assert!(!users.admit(&basic("me:geheim")).await);
            assert!(!users.admit(&basic("nobody:geheim")).await);
        }
        assert_eq!(users.known().len(), 2);
        assert!(!users.admit(&HeaderMap::new()).await);
        assert!(!users.admit(&basic("me")).await);
        let mut bearer = basic("me:a:b ü");
        bearer.insert(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(!users.admit(&bearer).await);
        assert_eq!(format!("{users:?}"), r#"["me", "other"]"#);
    }

    #[test]
    fn a_file_that_is_wrong_is_told_with_its_line() {
        let good = "a:$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
        Users::parse(good).unwrap();
        for (text, word) in [
            (String::new(), "none"),
            ("a".to_owned(), "line 1"),
            ("a:secret".to_owned(), "bcrypt"),
            ("\na:{SHA}x".to_owned(), "line 2"),
            (format!("{good}\n{good}"), "before"),
            (good.replace("$05$", "$20$"), "cost"),
        ] {
            let told = Users::parse(&text).unwrap_err();
            assert!(told.contains(word), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
        assert!(line("a:b", "x").is_err() && line("a", "").is_err());
        assert!(line("a", &"x".repeat(73)).is_err());
    }
}
