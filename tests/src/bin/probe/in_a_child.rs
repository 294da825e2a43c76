//! As a child of the exchange process.

use super::{Thing, attempt, call};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use policies::Inherited;

/// Does the thing in a child that is confined as one of the exchange process; a signal that ends it ends this process too.
pub fn in_a_child(inherited: &Inherited, thing: &Thing) -> Result<(), Box<dyn std::error::Error>> {
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let server = inherited.number("server-port")?.map(u16::try_from).transpose()?;
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (_unread, denied) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        policies::confine_child(inherited, denied, server)?;
        thing.run();
        return Ok(());
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS {
        // The signal that killed the child kills this process: the test sees it.
        attempt(call("execve", 0));
    }
    if status == 0 { Ok(()) } else { Err(format!("the child ended with status {status:#x}").into()) }
}
