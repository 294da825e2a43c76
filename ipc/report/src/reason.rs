//! The words of states and reasons. The sentences that go with them are made by the engine's process.

words! {
    /// The state of the clock.
    SystemState {
        /// The first correction has not been made, or has not reached the time of the sources yet.
        Starting = "starting",
        /// The clock follows its sources.
        Synchronised = "synchronised",
        /// No source can be followed; the clock runs at its last frequency.
        Holdover = "holdover",
        /// No majority of the sources agrees.
        NoMajority = "no-majority",
        /// No source is configured.
        NoSources = "no-sources",
        /// No source is configured, and the host serves its own time.
        Local = "local",
        /// The offset may be neither stepped nor slewed, or no order is carried out.
        Refused = "refused",
        /// There is no clock to steer.
        Unsteered = "unsteered",
        /// The clock has sources that are followed, and was set before; it is off and is being corrected, or its error is
        /// not known well enough.
        Unsynchronised = "unsynchronised",
    }

    /// The state of a source.
    SourceState {
        /// A survivor, and the reference.
        Selected = "selected",
        /// A survivor.
        Combined = "combined",
        /// It agrees, but a source marked `prefer` is used instead.
        Spare = "spare",
        /// Not measured, or not compared with the others yet.
        Waiting = "waiting",
        /// New, or begun anew; without a vote until its eighth reply.
        Probation = "probation",
        /// The majority contradicts it.
        Falseticker = "falseticker",
        /// Sources of higher trust contradict it.
        Outvoted = "outvoted",
        /// No majority agrees on anything.
        NoMajority = "no-majority",
        /// It does not answer.
        Unreachable = "unreachable",
        /// It answers, but its time is not used.
        Unusable = "unusable",
        /// It refuses to serve this host (kiss code).
        Denied = "denied",
        /// Its last replies had wrong authentication tags.
        UnderAttack = "under-attack",
        /// Its certificate cannot be judged, because the clock may be wrong.
        Provisional = "provisional",
        /// Measured, and nothing else, as configured: it decides nothing.
        Noselect = "noselect",
    }

    /// Whether a source is asked.
    SourceActivity {
        /// It is asked at intervals.
        Online = "online",
        /// It is asked in quick succession.
        Bursting = "bursting",
        /// It is not asked, as the administrator has ordered.
        Offline = "offline",
        /// It has no address yet, or none of its own, and cannot be asked.
        Unresolved = "unresolved",
    }

    /// What became of a measurement.
    MeasurementOutcome {
        /// It was used.
        Used = "used",
        /// It contradicts the earlier ones: the next ones decide.
        Doubtful = "doubtful",
        /// It contradicts the earlier ones, and was accepted: what was measured before it no longer counts.
        Restarted = "restarted",
        /// The reply failed a packet test.
        Failed = "failed",
    }

    /// Who took the times of departure and arrival; of two kinds the worse.
    StampOrigin {
        /// The network interface.
        Hardware = "hardware",
        /// The kernel.
        Kernel = "kernel",
        /// The process.
        User = "user",
    }

    /// The state of the association with an NTS source.
    AssociationState {
        /// No keys yet.
        None = "none",
        /// A key exchange is in progress.
        Exchanging = "exchanging",
        /// It has keys.
        Ready = "ready",
        /// It has keys, but the certificate could not be judged, because the clock is wrong.
        Provisional = "provisional",
    }

    /// The clock that is steered.
    ClockName {
        /// The clock of the kernel.
        Kernel = "kernel",
        /// A clock in a file.
        Virtual = "virtual",
        /// None.
        None = "none",
    }

    /// The leap indicator.
    LeapName {
        /// No leap second is announced.
        None = "none",
        /// A leap second will be inserted.
        Insert = "insert",
        /// A second will be deleted.
        Delete = "delete",
        /// The clock is not synchronised.
        Unknown = "unknown",
    }

    /// What a replay found.
    Verdict {
        /// All effects are those of the recording.
        Equal = "equal",
        /// An effect differs.
        Different = "different",
        /// The recording is damaged.
        Damaged = "damaged",
    }

    /// How a recording ends.
    EndName {
        /// With its engine.
        Orderly = "orderly",
        /// It was full; its engine continued.
        Full = "full",
        /// The process or the disk ended it.
        Cut = "cut",
    }

    /// How the last reading of the certificate of the key exchange service ended.
    CertificateState {
        /// Certificate and key are in use.
        InUse = "in-use",
        /// They have not been read yet.
        Unread = "unread",
        /// The certificate cannot be used.
        NoCertificate = "no-certificate",
        /// The private key cannot be used.
        NoKey = "no-key",
        /// The private key does not belong to the certificate.
        Mismatch = "mismatch",
        /// A valid one stays in use: the new one has expired, is not valid yet, or lacks a name.
        Kept = "kept",
    }

    /// Whose secret the keys of cookies are derived from.
    CookieKeyOrigin {
        /// A secret that the servers of a fleet share.
        Fleet = "fleet",
        /// This server's own secret.
        Own = "own",
    }
}

impl SourceState {
    /// Whether the time of such a source is used.
    pub const fn is_used(self) -> bool {
        match self {
            Self::Selected | Self::Combined => true,
            Self::Spare
            | Self::Noselect
            | Self::Waiting
            | Self::Probation
            | Self::Falseticker
            | Self::Outvoted
            | Self::NoMajority
            | Self::Unreachable
            | Self::Unusable
            | Self::Denied
            | Self::UnderAttack
            | Self::Provisional => false,
        }
    }
}
