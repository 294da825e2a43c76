//! Replies to `clients` and `access`: who asks the server, and whom it answers.

use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// Reply to `clients`.
    ClientsReply {
        /// Whether a server is configured.
        configured: bool,
        /// Clients that the server knows; none: there is no server.
        known: Option<u32>,
        /// Clients that it can know at a time.
        room: Option<u32>,
        /// How often a client has taken the place of another one, of which nothing is known any more.
        replaced: Option<u64>,
        /// The shortest average interval of a client within the rate limit; none: there is no limit.
        shortest_interval_s: Option<f64>,
        /// The first of them, in the order that was asked for.
        clients: Vec<ClientReport>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// A client of the server.
    ClientReport {
        /// An IPv4 address, or an IPv6 network of 64 bits.
        address: String,
        /// Requests since it is known.
        requests: u64,
        /// Those of them that were not answered: denied by the access rules, above the rate limit, or with a wrong MAC.
        dropped: u64,
        /// The access rules deny it.
        denied: bool,
        /// Requests of it were dropped, and of late it asks more often than the rate limit allows to one address.
        too_often: bool,
        /// Between its requests, on average of late; none: there was one.
        interval_s: Option<f64>,
        /// Since its last request.
        last_request_s: f64,
        /// Its last request that was not dropped was authenticated by NTS.
        authenticated: bool,
        /// NTP version of its last request; none: one that is not answered.
        version: Option<u8>,
        /// Its last request that was not dropped was authenticated by a symmetric key.
        keyed: bool,
    }

    /// Reply to `access`.
    AccessReply {
        /// Whether a server is configured.
        configured: bool,
        /// The address.
        address: String,
        /// Whether it is answered.
        allowed: bool,
        /// The prefix that decides: the longest one of `allow` and `deny`; none: none matches, and so it is denied.
        rule: Option<String>,
        /// Answers a second to one address (IPv6: one /64); none: there is no limit.
        address_rate_per_s: Option<u32>,
        /// Answers a second to its network (/24, IPv6: /48); none: there is no limit.
        network_rate_per_s: Option<u32>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }
}
