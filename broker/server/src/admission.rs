//! Who may come in: how many at once, and how many from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The places there are for connections.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    per_address_max: usize,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// What to do with a connection attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Let it shake hands.
    Handshake(Place),
    /// Have it prove that it receives at the address it claims, then ask again.
    Prove,
    /// Turn it away: all places are taken, or all that its address may take.
    Refuse(&'static str),
}

/// A stranger's place, until its hello.
#[derive(Debug)]
pub(crate) struct Place {
    _handshake: OwnedSemaphorePermit,
    connections: Arc<Semaphore>,
    address: AddressPlace,
}

/// A client's place, as long as it is connected.
#[derive(Debug)]
pub(crate) struct Seat {
    _connection: OwnedSemaphorePermit,
    _address: AddressPlace,
}

/// One connection of an address: counted while it lives.
#[derive(Debug)]
struct AddressPlace {
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Admission {
    /// Places for so many clients, of which one address may take half.
    pub(crate) fn new(connections_max: usize) -> Self {
        Self {
            handshakes: Arc::new(Semaphore::new(limits::HANDSHAKES_MAX)),
            connections: Arc::new(Semaphore::new(connections_max)),
            per_address_max: connections_max.div_ceil(2),
            by_address: Arc::default(),
        }
    }

    /// Judges a connection attempt from this address, which it has or has not proven.
    pub(crate) fn judge(&self, address: IpAddr, proven: bool) -> Verdict {
        let under_way = limits::HANDSHAKES_MAX - self.handshakes.available_permits();
        if under_way >= limits::HANDSHAKES_BEFORE_RETRY && !proven {
            return Verdict::Prove;
        }
        let Ok(handshake) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            return Verdict::Refuse("handshakes");
        };
        if self.connections.available_permits() == 0 {
            return Verdict::Refuse("connections");
        }
        match AddressPlace::take(&self.by_address, address, self.per_address_max) {
            Some(address) => Verdict::Handshake(Place {
                _handshake: handshake,
                connections: Arc::clone(&self.connections),
                address,
            }),
            None => Verdict::Refuse("address"),
        }
    }
}

impl Place {
    /// The place of a client whose hello was accepted; None when all are taken by now.
    pub(crate) fn into_seat(self) -> Option<Seat> {
        let connection = self.connections.try_acquire_owned().ok()?;
        Some(Seat { _connection: connection, _address: self.address })
    }
}

impl AddressPlace {
    fn take(
        by_address: &Arc<Mutex<HashMap<IpAddr, usize>>>,
        address: IpAddr,
        max: usize,
    ) -> Option<Self> {
        let mut counts = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Self { address, by_address: Arc::clone(by_address) })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    fn handshake(admission: &Admission, from: IpAddr) -> Place {
        match admission.judge(from, true) {
            Verdict::Handshake(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_address_takes_half_of_the_places_at_most() {
        let admission = Admission::new(4);
        let first: Vec<Seat> =
            (0..2).map(|_| handshake(&admission, address(1)).into_seat().unwrap()).collect();
        assert!(matches!(admission.judge(address(1), true), Verdict::Refuse("address")));
        let second: Vec<Seat> =
            (0..2).map(|_| handshake(&admission, address(2)).into_seat().unwrap()).collect();
        assert!(matches!(admission.judge(address(3), true), Verdict::Refuse("connections")));
        drop(first);
        handshake(&admission, address(1)).into_seat().unwrap();
        drop(second);
        assert!(admission.by_address.lock().unwrap().is_empty());
    }

    #[test]
    fn strangers_prove_their_address_when_there_are_many_and_are_bounded() {
        let admission = Admission::new(10_000);
        let mut places: Vec<Place> = Vec::new();
        while places.len() < limits::HANDSHAKES_BEFORE_RETRY {
            match admission.judge(address(1), false) {
                Verdict::Handshake(place) => places.push(place),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(admission.judge(address(1), false), Verdict::Prove));
        while places.len() < limits::HANDSHAKES_MAX {
            places.push(handshake(&admission, address(1)));
        }
        assert!(matches!(admission.judge(address(2), true), Verdict::Refuse("handshakes")));
        // A hello that is accepted makes room for the next stranger.
        let seat = places.pop().unwrap().into_seat().unwrap();
        places.push(handshake(&admission, address(2)));
        drop(seat);
    }
}
