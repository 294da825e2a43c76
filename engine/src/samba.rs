//! What is said of Samba, which signs replies to clients of its domain.

use crate::log::{Event, Severity};
use ipc::file_path::FilePath;
use ipc::message::samba::Contact;
use ipc::process::Process;
use ipc::text::escape;
use nix::errno::Errno;

/// The line of a change, with what to do.
pub fn line(contact: Contact, folder: Option<FilePath>) -> (Severity, Event, String) {
    let folder = folder.map_or_else(String::new, |folder| escape(folder.as_str()));
    let why = match contact {
        Contact::Made => {
            let text = format!("Samba signs replies for its domain: {folder}/socket is in use");
            return (Severity::NOTICE, Event::SambaThere, text);
        }
        Contact::Refused(errno) => refused(Errno::from_raw(errno.into()), &folder),
        Contact::Exposed(mode) => format!(
            "{folder} has the mode {mode:o}, so others than its owner could put another socket there; chmod 750 {folder}"
        ),
        Contact::Silent => {
            format!("at {folder}/socket it did not answer within a second; look at Samba's log")
        }
        Contact::Ended => format!(
            "at {folder}/socket each connection is ended without an answer, whichever account is named; look at Samba's log"
        ),
        Contact::Wrong => format!(
            "at {folder}/socket it answered with something else than the signature of what was sent; look who listens there"
        ),
    };
    let text = format!(
        "Samba signs no replies, so clients of its domain get none: {why}; it is tried again by itself"
    );
    (Severity::WARNING, Event::SambaLost, text)
}

fn refused(errno: Errno, folder: &str) -> String {
    let user = Process::Samba.user();
    match errno {
        Errno::ENOENT => format!(
            "there is no {folder}/socket; start Samba as a domain controller, or correct samba-signd (the folder is \"ntp signd \
             socket directory\" of smb.conf). If the folder was made or replaced after the start of truechimer, restart truechimer"
        ),
        Errno::EACCES | Errno::EPERM => format!(
            "{user} may not use {folder}/socket; chgrp {user} {folder}; chmod 750 {folder}; and chmod a+x the folders on the way, if \
             they lack it"
        ),
        Errno::ECONNREFUSED => format!("nobody listens at {folder}/socket; start Samba"),
        Errno::EAGAIN => format!("at {folder}/socket Samba takes no more connections; look at Samba's log"),
        other => format!("{folder}/socket: {}", other.desc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_names_the_socket_and_what_to_do() {
        let folder = Some(FilePath::parse("/var/lib/samba/ntp_signd").unwrap());
        for (contact, remedy) in [
            (Contact::Refused(Errno::ENOENT as u16), "start Samba as a domain controller"),
            (Contact::Refused(Errno::EACCES as u16), "chgrp truechimer-samba /var/lib/samba/ntp_signd"),
            (Contact::Refused(Errno::ECONNREFUSED as u16), "start Samba"),
            (Contact::Refused(Errno::EAGAIN as u16), "Samba's log"),
            (Contact::Refused(Errno::ENOTSOCK as u16), "Socket operation on non-socket"),
            (Contact::Exposed(0o770), "mode 770"),
            (Contact::Silent, "Samba's log"),
            (Contact::Wrong, "who listens there"),
            (Contact::Ended, "ended without an answer"),
        ] {
            let (severity, event, text) = line(contact, folder);
            assert!(text.contains(remedy) && text.contains("/var/lib/samba/ntp_signd"), "{text}");
            assert_eq!((severity, event), (Severity::WARNING, Event::SambaLost));
        }
        assert_eq!(line(Contact::Made, folder).1, Event::SambaThere);
    }
}
