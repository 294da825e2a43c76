//! Orders that wait for their answer.

use engine_core::io::OrderKind;

/// Sequence numbers of orders without an answer so far.
#[derive(Debug, Default)]
pub struct Orders {
    open: Vec<(u32, OrderKind)>,
}

impl Orders {
    /// An order has this number; the caller bounds how many are open.
    pub fn open(&mut self, sequence: u32, kind: OrderKind) {
        self.open.push((sequence, kind));
    }

    /// The answer to an order; `None` if no such order is open, as after a second answer.
    pub fn close(&mut self, sequence: u32) -> Option<OrderKind> {
        let place = self.open.iter().position(|(open, _)| *open == sequence)?;
        Some(self.open.remove(place).1)
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }
}
