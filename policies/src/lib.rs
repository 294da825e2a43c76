//! What each process may have and do: a file of rules for each role, as data, and the code that enforces them.
//!
//! ```text
//!   inherited     what a child inherits when it is started: descriptors, by number
//!   confine       the order in which everything is given up
//!   name_service    which services the C library asks for a name
//!   namespaces      mount, ipc, uts, and net where no packet is sent
//!   view            an empty read-only root
//!   program           what a program needs that is executed in it
//!   privileges      user, groups, capabilities
//!   file_access     Landlock
//!   mounts          whether a mount is read-only, or its file system
//!   limits          descriptors, processes, memory, files: the numbers of the role's file
//!   filters         (a package of its own) rules/*.toml, compiled, as tables and as filters
//!   kernel        the calls that nix has no wrapper for
//! ```
//!
//! A process calls [`confine`] once, after it has taken its inherited descriptors and before it reads any input.
//! Features that the kernel or a container does not provide are returned as a [`Shortfall`](ipc::message::Shortfall),
//! to be reported. Without its own user (if started as root), `no_new_privs` and the filter, a process does not
//! continue unless it was started with `--insecure`.

pub mod confine;
mod file_access;
pub mod inherited;
mod kernel;
mod limits;
mod mounts;
mod name_service;
mod namespaces;
mod privileges;
mod program;
mod view;

pub use confine::{ConfineError, KeeperView, confine, confine_child, confine_keeper, confine_then};
pub use filters::{Role, name as call_name};
/// What a process leaves of a system call that its filter denied.
pub mod denied {
    pub use filters::trap::{RECORD, number};
}
pub use inherited::{InheritError, Inherited};
pub use kernel::{has_rights_of_its_file, is_nameless, owner_and_mode, reset_signals};
pub use mounts::{Access, Mounts};
pub use privileges::within_owner_and_mode;
pub use view::CONFIGURATION_FOLDER;
