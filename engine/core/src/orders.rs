//! Orders to the privileged process: at most one is unanswered, and their rate stays below the governor's limit of one a
//! second and a burst of eight.

use ipc::units::{RawInstant, Span};

/// Slightly slower than the governor's rate, so that different clocks do not matter.
const REFILL: Span = Span::from_millis(1_050);

/// Slightly below the governor's burst.
const BURST: i64 = 6;

/// The three orders that are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// `Output::Adjust`.
    Adjust,
    /// `Output::Step`.
    Step,
    /// `Output::SetStatus`.
    Status,
}

/// The rate limit of orders.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Orders {
    open: Option<OrderKind>,
    /// When the full burst is available again.
    full_at: RawInstant,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self { open: None, full_at: RawInstant::MIN }
    }

    /// Whether an order is unanswered.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When the next order may be sent; none: one is unanswered.
    pub(crate) fn ready_at(&self) -> Option<RawInstant> {
        let ready = RawInstant::saturating(self.full_at.nanos() - (BURST - 1) * REFILL.nanos());
        self.open.is_none().then_some(ready)
    }

    /// An order is sent.
    pub(crate) fn send(&mut self, kind: OrderKind, now: RawInstant) {
        self.open = Some(kind);
        self.full_at = self.full_at.max(now).after(REFILL);
    }

    /// An order is answered. False: none of this kind was unanswered.
    pub(crate) fn answer(&mut self, kind: OrderKind) -> bool {
        let asked = self.open == Some(kind);
        if asked {
            self.open = None;
        }
        asked
    }

    /// The governor refused an order because of its rate. Nothing is sent for some time.
    pub(crate) fn exhausted(&mut self, now: RawInstant) {
        self.full_at = now.after(Span::saturating((BURST + 1) * REFILL.nanos()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> RawInstant {
        RawInstant::saturating(10_000_000_000 + millis * 1_000_000)
    }

    fn is_ready(orders: &Orders, now: RawInstant) -> bool {
        orders.ready_at().is_some_and(|ready| ready <= now)
    }

    #[test]
    fn a_burst_of_six_then_one_a_second() {
        let mut orders = Orders::new();
        let mut sent = 0;
        for millis in 0..10_000 {
            if is_ready(&orders, at(millis)) {
                orders.send(OrderKind::Adjust, at(millis));
                assert!(!is_ready(&orders, at(millis)), "one unanswered at a time");
                assert!(orders.answer(OrderKind::Adjust));
                sent += 1;
            }
        }
        assert!((14..=15).contains(&sent), "{sent}");
    }

    #[test]
    fn an_answer_to_another_order_is_none() {
        let mut orders = Orders::new();
        orders.send(OrderKind::Step, at(0));
        assert!(!orders.answer(OrderKind::Adjust));
        assert!(orders.is_open());
        assert!(orders.answer(OrderKind::Step));
    }
}
