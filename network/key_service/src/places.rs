//! The connections of one thread, and which one is closed if there are too many.

use super::connection::{Connection, Priority};
use super::limit::Network;
use ipc::units::RawInstant;
use std::collections::{HashMap, VecDeque};

/// Tokens of closed connections that do not justify a scan of all tokens.
const SLACK: usize = 64;

/// The token of a connection in this thread: its place, and a number that tells apart the connections of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    place: u32,
    turn: u32,
}

impl Token {
    pub(super) const fn to_number(self) -> u64 {
        (self.turn as u64) << 32 | self.place as u64
    }

    pub(super) const fn from_number(number: u64) -> Self {
        Self { place: number as u32, turn: (number >> 32) as u32 }
    }
}

#[derive(Default)]
struct Place {
    /// Below 2^31, so that it differs from the tokens of other descriptors.
    turn: u32,
    connection: Option<Connection>,
}

/// All connections of a thread, in the order of their deadlines.
#[derive(Default)]
pub(super) struct Places {
    places: Vec<Place>,
    free: Vec<u32>,
    order: VecDeque<Token>,
}

impl Places {
    /// Adds a connection, which was accepted after all others here.
    pub(super) fn add(&mut self, connection: Connection) -> Token {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        let mut token = Token { place, turn: 0 };
        if let Some(here) = self.places.get_mut(place as usize) {
            here.turn = here.turn.wrapping_add(1) & (u32::MAX >> 1);
            here.connection = Some(connection);
            token.turn = here.turn;
        }
        self.order.push_back(token);
        token
    }

    pub(super) fn find(&mut self, token: Token) -> Option<&mut Connection> {
        let here = self.places.get_mut(token.place as usize)?;
        here.connection.as_mut().filter(|_| here.turn == token.turn)
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<Connection> {
        let here = self.places.get_mut(token.place as usize).filter(|here| here.turn == token.turn)?;
        let connection = here.connection.take()?;
        self.free.push(token.place);
        self.tidy();
        Some(connection)
    }

    /// Drops the tokens of closed connections once they outnumber the open ones. Otherwise a client that keeps
    /// connecting and disconnecting while one connection stays open would make [`Self::least`] slow.
    fn tidy(&mut self) {
        let here = self.places.len().saturating_sub(self.free.len());
        if self.order.len() > 2 * here + SLACK {
            let Self { places, order, .. } = self;
            order.retain(|token| {
                let place = places.get(token.place as usize).filter(|place| place.turn == token.turn);
                place.is_some_and(|place| place.connection.is_some())
            });
        }
    }

    /// The connection that was accepted first, and the time of this.
    pub(super) fn oldest(&mut self) -> Option<(Token, RawInstant)> {
        while let Some(token) = self.order.front().copied() {
            if let Some(connection) = self.find(token) {
                return Some((token, connection.since));
            }
            self.order.pop_front();
        }
        None
    }

    /// The connection of a network to be closed in favour of a new one of the same network: the oldest for which
    /// no handshake has begun.
    pub(super) fn least_of(&self, network: Network) -> Option<Token> {
        let is_it = |token: &&Token| {
            let place = self.places.get(token.place as usize).filter(|place| place.turn == token.turn);
            let connection = place.and_then(|place| place.connection.as_ref());
            connection.is_some_and(|one| one.network == network && one.priority() <= Priority::Idle)
        };
        self.order.iter().find(is_it).copied()
    }

    /// The connection to be closed for a new one: of the lowest priority, of the network with most of them here, the
    /// oldest. A network that fills this server with idle connections thus loses its own, and a new client is served.
    pub(super) fn least(&self) -> Option<Token> {
        let here = |token: &Token| {
            let place = self.places.get(token.place as usize).filter(|place| place.turn == token.turn)?;
            place.connection.as_ref()
        };
        let mut shares: HashMap<(Priority, Network), usize> = HashMap::new();
        for connection in self.order.iter().filter_map(here) {
            *shares.entry((connection.priority(), connection.network)).or_default() += 1;
        }
        let rank = |token: &Token| {
            let connection = here(token)?;
            let key = (connection.priority(), connection.network);
            Some((key.0, std::cmp::Reverse(shares.get(&key).copied().unwrap_or(0))))
        };
        // The first among equals: the order is that of age.
        self.order
            .iter()
            .filter_map(|token| Some((rank(token)?, token)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, token)| *token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn connection(listener: &TcpListener, network: u8, at: i64) -> Connection {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        drop(listener.accept().unwrap());
        Connection::new(stream, Network::of([192, 0, network, 1].into()), RawInstant::saturating(at))
    }

    #[test]
    fn a_place_that_is_taken_again_has_another_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut places = Places::default();
        let first = places.add(connection(&listener, 1, 1));
        assert!(places.find(first).is_some() && places.remove(first).is_some());
        let second = places.add(connection(&listener, 1, 2));
        assert!(places.find(first).is_none() && places.remove(first).is_none());
        assert_eq!(Token::from_number(second.to_number()), second);
        assert_eq!(places.oldest().map(|(token, _)| token), Some(second));
        assert_eq!(places.places.len(), 1);
    }

    #[test]
    fn a087_the_network_with_most_connections_loses_first_and_the_oldest_of_equals() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut places = Places::default();
        let lone = places.add(connection(&listener, 1, 1));
        let many: Vec<Token> = (2..5).map(|at| places.add(connection(&listener, 2, at))).collect();
        let late = places.add(connection(&listener, 3, 6));
        for expected in [many[0], many[1], lone, many[2], late] {
            assert_eq!(places.least(), Some(expected));
            places.remove(expected);
        }
        assert_eq!(places.least(), None);
        assert_eq!(places.oldest(), None);
    }
    #[test]
    fn a087_an_idle_neighbour_gives_way_to_a_newcomer_of_its_network_and_no_other_does() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut places = Places::default();
        let other = places.add(connection(&listener, 1, 1));
        let [first, second] = [2, 3].map(|at| places.add(connection(&listener, 2, at)));
        let network = places.find(first).unwrap().network;
        for expected in [Some(first), Some(second), None] {
            assert_eq!(places.least_of(network), expected);
            expected.map(|token| places.remove(token));
        }
        assert!(places.find(other).is_some());
    }

    #[test]
    fn a087_connections_that_come_and_go_behind_one_that_stays_leave_nothing_to_look_through() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut places = Places::default();
        let stays = places.add(connection(&listener, 1, 1));
        let next = places.add(connection(&listener, 2, 2));
        let mut passer = places.remove(next).unwrap();
        for _ in 0..1_000 {
            let token = places.add(passer);
            passer = places.remove(token).unwrap();
        }
        assert!(places.order.len() <= 2 + SLACK, "{}", places.order.len());
        assert_eq!(places.oldest().map(|(token, _)| token), Some(stays));
        assert_eq!(places.least(), Some(stays));
    }
}
