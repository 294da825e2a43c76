//! Events of this process itself, beside those of the engine: a word for each, by which programs find the line in the journal.

use sentence::Field;

macro_rules! events {
    ($($(#[$meta:meta])* $event:ident = $name:literal,)+) => {
        /// An event of this process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$meta])* $event,)+
        }

        impl Event {
            /// All of them.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$event),+];

            /// Its word, which stays as it is.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$event => $name,)+
                }
            }
        }
    };
}

events! {
    /// The start is done.
    Started = "daemon-started",
    /// The daemon ends.
    Ended = "daemon-ended",
    /// A process is confined less than it should be.
    Unconfined = "confinement-missing",
    /// The configuration is not in order.
    ConfigurationRefused = "configuration-refused",
    /// It was read again, by `chimerctl reload` or a signal.
    ConfigurationReloaded = "configuration-reloaded",
    /// Something in it is not used, or not as it may be meant.
    ConfigurationDoubtful = "configuration-doubtful",
    /// What a program has left in the run directory is not used.
    OfferedUnused = "source-offered-unused",
    /// A source was added or removed by hand.
    SourceByHand = "source-changed-by-hand",
    /// A step is asked for by hand.
    StepByHand = "clock-step-asked",
    /// An interface that `listen` names is missing.
    InterfaceMissing = "interface-missing",
    /// It is there.
    InterfaceThere = "interface-there",
    /// The certificate of the server is in order again.
    CertificateInOrder = "certificate-in-order",
    /// It is not, or will soon not be.
    CertificateTrouble = "certificate-trouble",
    /// Samba, which signs replies, can be asked.
    SambaThere = "samba-there",
    /// It cannot.
    SambaLost = "samba-lost",
    /// What became of the keys of cookies.
    CookieKeys = "nts-cookie-keys",
    /// A page of shared memory cannot be written.
    PageMissing = "time-page-missing",
    /// A file of the state directory cannot be written.
    StateUnwritten = "state-unwritten",
    /// What such a file holds is of no use.
    StateUnusable = "state-unusable",
    /// What was kept elsewhere meanwhile was taken back, or can be.
    StateBack = "state-back",
    /// Which lines are written from now on.
    LogLevel = "log-level",
    /// Lines could not be written.
    LogLost = "log-lost",
}

/// A line, with its event where programs may look for it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'t> {
    pub(super) text: &'t str,
    event: Option<Event>,
}

impl Event {
    /// The line of this event.
    pub fn says(self, text: &str) -> Line<'_> {
        Line { text, event: Some(self) }
    }
}

impl<'t> From<&'t str> for Line<'t> {
    fn from(text: &'t str) -> Self {
        Self { text, event: None }
    }
}

impl<'t> From<&'t String> for Line<'t> {
    fn from(text: &'t String) -> Self {
        Self { text, event: None }
    }
}

impl Line<'_> {
    /// For the journal.
    pub(super) fn fields(&self) -> Vec<Field> {
        self.event.map(|event| (sentence::EVENT, event.name().to_owned())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_its_own_and_stands_on_the_page() {
        let page = include_str!("../../../docs/monitoring.md");
        for (at, event) in Event::ALL.iter().enumerate() {
            let name = event.name();
            assert!(page.contains(&format!("`{name}`")), "docs/monitoring.md lacks {name}");
            assert!(!Event::ALL[..at].iter().any(|other| other.name() == name), "{name} twice");
        }
    }

    #[test]
    fn a_line_has_the_field_of_its_event_and_a_plain_one_none() {
        let line = Event::Started.says("x");
        assert_eq!(line.fields(), [("TRUECHIMER_EVENT", "daemon-started".to_owned())]);
        assert!(Line::from("x").fields().is_empty());
    }
}
