//! Confined like the keeper: half of it by the launch, half by the program that it executes.

use ipc::message::Shortfall;
use policies::{Inherited, Role};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Does as truechimerd, which becomes the keeper by an exec, and then as the keeper. Without the word `clock` there is
/// no clock to set.
pub fn as_keeper(role: Role, inherited: &Inherited) -> Result<Shortfall, Box<dyn std::error::Error>> {
    let sets_the_clock = inherited.flag("clock");
    if let Some(missing) = inherited.text("missing") {
        keeper::kernel::undumpable();
        keeper::kernel::hold_only(sets_the_clock).map_err(|errno| errno.to_string())?;
        if !inherited.flag("insecure") {
            role.rules().install().map_err(|error| filters::refused(&error))?;
        }
        let is = |name| missing.split(',').any(|missing| missing == name);
        return Ok(Shortfall {
            namespaces: is("namespaces"),
            file_view: is("file-view"),
            landlock: is("landlock"),
            ports: is("ports"),
            write_execute: is("write-execute"),
            user: is("user"),
            insecure: is("syscall-filter"),
        });
    }
    let own = std::env::current_exe()?;
    let confined = if sets_the_clock { Role::Privileged } else { Role::PrivilegedVirtual };
    let shortfall = policies::confine_keeper(
        confined,
        &own,
        inherited.identity()?,
        policies::KeeperView::Own,
        inherited.flag("insecure"),
    )?;
    let missing: Vec<_> = shortfall.missing().map(|(name, _)| name).collect();
    let words = std::env::args_os().skip(1);
    let error =
        Command::new(own).args(words).arg("executed").arg(format!("missing={}", missing.join(","))).exec();
    Err(error.into())
}
