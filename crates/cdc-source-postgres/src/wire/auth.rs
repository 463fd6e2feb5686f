//! Authentication: clear text, MD5, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS.
//!
//! The SCRAM exchange itself, with SASLprep and the check of the server's signature, is that of
//! `postgres-protocol`; here stands which mechanism is chosen, and that nothing is skipped.
//!
//! Source: <https://www.postgresql.org/docs/current/sasl-authentication.html>

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use crate::wire::error::{AuthError, Error};
use crate::wire::frame::{put_cstr, put_frame, take_cstr};
use crate::wire::options::{ChannelBinding, ConnectOptions};

/// What the server's message asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send these bytes and wait for the next message.
    Send(BytesMut),
    /// Wait for the next message.
    Wait,
    /// Authenticated.
    Done,
}

/// The client's side of authentication, without I/O.
pub(super) struct Authentication<'a> {
    options: &'a ConnectOptions,
    is_encrypted: bool,
    end_point: Option<Vec<u8>>,
    scram: Scram,
}

enum Scram {
    NotAsked,
    Running { exchange: Box<ScramSha256>, is_bound: bool },
    Verified { is_bound: bool },
}

impl<'a> Authentication<'a> {
    pub(super) fn new(
        options: &'a ConnectOptions,
        is_encrypted: bool,
        end_point: Option<Vec<u8>>,
    ) -> Self {
        Self { options, is_encrypted, end_point, scram: Scram::NotAsked }
    }

    /// Answers the body of an `Authentication…` message.
    pub(super) fn step(&mut self, mut body: Bytes) -> Result<Step, Error> {
        let kind = body.try_get_u32().map_err(|_| short())?;
        match kind {
            0 => self.finish(),
            3 => Ok(Step::Send(password_message(self.password()?))),
            5 => {
                let salt = body.first_chunk::<4>().ok_or_else(short)?;
                let user = self.options.user.as_bytes();
                let hash = md5_hash(user, self.password()?.as_bytes(), *salt);
                Ok(Step::Send(password_message(&hash)))
            }
            10 => self.start_scram(body),
            11 => self.continue_scram(&body),
            12 => self.verify_scram(&body),
            other => Err(AuthError::MethodUnsupported { method: method_name(other) }.into()),
        }
    }

    fn password(&self) -> Result<&'a str, AuthError> {
        match &self.options.password {
            Some(password) => Ok(password.expose()),
            None => Err(AuthError::PasswordMissing),
        }
    }

    fn start_scram(&mut self, mut body: Bytes) -> Result<Step, Error> {
        let mut offered = Vec::new();
        while body.first().is_some_and(|byte| *byte != 0) {
            offered.push(take_cstr(&mut body)?);
        }
        let password = self.password()?;
        let (mechanism, binding) = self.choose(&offered)?;
        let exchange = Box::new(ScramSha256::new(password.as_bytes(), binding));
        let mut message = BytesMut::new();
        put_frame(&mut message, b'p', |body| {
            put_cstr(body, mechanism);
            body.put_u32(u32::try_from(exchange.message().len()).unwrap_or(u32::MAX));
            body.put_slice(exchange.message());
        });
        self.scram = Scram::Running { exchange, is_bound: mechanism == SCRAM_SHA_256_PLUS };
        Ok(Step::Send(message))
    }

    /// Chooses the mechanism, binding it to the TLS channel where both sides can.
    fn choose(
        &mut self,
        offered: &[String],
    ) -> Result<(&'static str, sasl::ChannelBinding), AuthError> {
        let offers = |name: &str| offered.iter().any(|mechanism| mechanism == name);
        let wanted = self.options.channel_binding;
        let may_bind = offers(SCRAM_SHA_256_PLUS) && wanted != ChannelBinding::Disable;
        if let Some(end_point) = self.end_point.take_if(|_| may_bind) {
            let binding = sasl::ChannelBinding::tls_server_end_point(end_point);
            return Ok((SCRAM_SHA_256_PLUS, binding));
        }
        if wanted == ChannelBinding::Require {
            return Err(self.binding_unavailable());
        }
        if !offers(SCRAM_SHA_256) {
            return Err(AuthError::MethodUnsupported { method: offered.join(", ") });
        }
        // "y" tells the server that we would have bound had it offered to, so that it notices an
        // attacker who took the offer away.
        let would_bind = self.end_point.is_some() && wanted != ChannelBinding::Disable;
        let binding = if would_bind {
            sasl::ChannelBinding::unrequested()
        } else {
            sasl::ChannelBinding::unsupported()
        };
        Ok((SCRAM_SHA_256, binding))
    }

    fn continue_scram(&mut self, body: &[u8]) -> Result<Step, Error> {
        let Scram::Running { exchange, .. } = &mut self.scram else { return Err(unasked()) };
        exchange.update(body).map_err(not_verified)?;
        let mut message = BytesMut::new();
        put_frame(&mut message, b'p', |body| body.put_slice(exchange.message()));
        Ok(Step::Send(message))
    }

    fn verify_scram(&mut self, body: &[u8]) -> Result<Step, Error> {
        let Scram::Running { exchange, is_bound } = &mut self.scram else { return Err(unasked()) };
        exchange.finish(body).map_err(not_verified)?;
        self.scram = Scram::Verified { is_bound: *is_bound };
        Ok(Step::Wait)
    }

    /// Accepts the server's "ok" only if it has done its part.
    fn finish(&self) -> Result<Step, Error> {
        let is_bound = match &self.scram {
            Scram::Running { .. } => {
                let reason = "it ended the exchange before its signature".to_owned();
                return Err(AuthError::ServerNotVerified { reason }.into());
            }
            Scram::NotAsked => false,
            Scram::Verified { is_bound } => *is_bound,
        };
        if self.options.channel_binding == ChannelBinding::Require && !is_bound {
            return Err(self.binding_unavailable().into());
        }
        Ok(Step::Done)
    }

    fn binding_unavailable(&self) -> AuthError {
        let reason = if !self.is_encrypted {
            "the connection is not encrypted"
        } else if self.end_point.is_none() {
            "the server's certificate has a signature without a hash"
        } else {
            "the server did not ask for SCRAM with channel binding"
        };
        AuthError::ChannelBindingUnavailable { reason }
    }
}

fn password_message(password: &str) -> BytesMut {
    let mut message = BytesMut::new();
    put_frame(&mut message, b'p', |body| put_cstr(body, password));
    message
}

fn not_verified(error: std::io::Error) -> Error {
    AuthError::ServerNotVerified { reason: error.to_string() }.into()
}

fn unasked() -> Error {
    Error::Protocol("a SCRAM message outside an exchange".to_owned())
}

fn short() -> Error {
    Error::Protocol("an authentication message ends early".to_owned())
}

fn method_name(kind: u32) -> String {
    match kind {
        2 => "Kerberos V5".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        other => format!("number {other}"),
    }
}
