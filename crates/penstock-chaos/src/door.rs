//! A door before a server: connections pass while it is open. Shut, it breaks those there are and
//! refuses new ones, as a server that is away; the server itself keeps what it knows.

use std::net::Ipv4Addr;

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Listens on a port of its own, for as long as it lives.
pub(crate) struct Door {
    port: u16,
    open: watch::Sender<bool>,
    _porter: JoinSet<()>,
}

impl Door {
    /// Opens a door to `port` on this machine.
    pub(crate) async fn to(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("a port")?;
        let own = listener.local_addr()?.port();
        let (open, is_open) = watch::channel(true);
        let mut porter = JoinSet::new();
        porter.spawn(attend(listener, port, is_open));
        Ok(Self { port: own, open, _porter: porter })
    }

    /// Returns the port to knock at.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Opens or shuts it.
    pub(crate) fn set_open(&self, is_open: bool) {
        self.open.send_replace(is_open);
    }
}

async fn attend(listener: TcpListener, port: u16, is_open: watch::Receiver<bool>) {
    let mut guests = JoinSet::new();
    while let Ok((guest, _)) = listener.accept().await {
        while guests.try_join_next().is_some() {}
        guests.spawn(pass(guest, port, is_open.clone()));
    }
}

async fn pass(mut guest: TcpStream, port: u16, mut is_open: watch::Receiver<bool>) {
    if !*is_open.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    // Either side may break off at any time; that is what a connection is.
    tokio::select! {
        passed = copy_bidirectional(&mut guest, &mut server) => drop(passed),
        shut = is_open.wait_for(|open| !open) => drop(shut),
    }
}
