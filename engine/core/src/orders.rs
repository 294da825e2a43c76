//! Orders to the privileged process: at most one is unanswered, or an adjustment with the status that goes with it, and
//! their rate stays below the governor's limit of one a second and a burst of eight.

use ipc::message::privileged::Refusal;
use ipc::units::{RawInstant, Span};

/// Slightly slower than the governor's rate, so that different clocks do not matter.
const REFILL: Span = Span::from_millis(1_050);

/// Slightly below the governor's burst.
const BURST: i64 = 6;

/// The orders that are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// `Output::Adjust`.
    Adjust,
    /// `Output::Step`.
    Step,
    /// `Output::SetStatus`.
    Status,
    /// `Output::SetTai`.
    Tai,
}

/// The rate limit of orders.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Orders {
    open: Option<OrderKind>,
    /// A status was sent with the adjustment that is, or was, the one above: both wake the privileged process once.
    with_status: bool,
    /// When the full burst is available again.
    full_at: RawInstant,
    /// See [`Self::obstacle`].
    obstacle: Option<Refusal>,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self { open: None, with_status: false, full_at: RawInstant::MIN, obstacle: None }
    }

    /// Whether an order is unanswered.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some() || self.with_status
    }

    /// Whether one is unanswered that moves the clock.
    pub(crate) fn moves_clock(&self) -> bool {
        matches!(self.open, Some(OrderKind::Adjust | OrderKind::Step))
    }

    /// When the next order may be sent; none: one is unanswered.
    pub(crate) fn ready_at(&self) -> Option<RawInstant> {
        (!self.is_open()).then_some(self.affordable_at())
    }

    /// When the rate allows a further order.
    fn affordable_at(&self) -> RawInstant {
        RawInstant::saturating(self.full_at.nanos() - (BURST - 1) * REFILL.nanos())
    }

    /// Whether a status may be sent with the adjustment that was just sent.
    pub(crate) fn takes_status(&self, now: RawInstant) -> bool {
        self.open == Some(OrderKind::Adjust) && !self.with_status && self.affordable_at() <= now
    }

    /// An order is sent: the only one, or a status where [`Self::takes_status`].
    pub(crate) fn send(&mut self, kind: OrderKind, now: RawInstant) {
        if self.open.is_some() && kind == OrderKind::Status {
            self.with_status = true;
        } else {
            self.open = Some(kind);
        }
        self.full_at = self.full_at.max(now).after(REFILL);
    }

    /// An order is answered. False: none of this kind was unanswered.
    pub(crate) fn answer(&mut self, kind: OrderKind) -> bool {
        if self.open == Some(kind) {
            self.open = None;
            return true;
        }
        kind == OrderKind::Status && core::mem::take(&mut self.with_status)
    }

    /// What keeps every order to change the clock from being carried out, whatever it is: the record that cannot be written, or
    /// the kernel.
    pub(crate) fn obstacle(&self) -> Option<Refusal> {
        self.obstacle
    }

    /// An order to change the clock was carried out.
    pub(crate) fn carried_out(&mut self) {
        self.obstacle = None;
    }

    /// An order was refused. If that was because of its rate, the disk or the kernel, nothing is sent for some time.
    pub(crate) fn refused(&mut self, kind: OrderKind, code: Refusal, now: RawInstant) {
        let is_obstacle = matches!(code, Refusal::Clock | Refusal::NoPersist);
        if is_obstacle || code == Refusal::Rate {
            self.full_at = now.after(Span::saturating((BURST + 1) * REFILL.nanos()));
        }
        // What was sent too early says nothing of the next one.
        let is_early = matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch);
        if matches!(kind, OrderKind::Adjust | OrderKind::Step) && !is_early {
            self.obstacle = is_obstacle.then_some(code);
        }
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
    fn only_an_adjustment_takes_a_status_along_and_the_next_order_waits_for_both_answers() {
        let mut orders = Orders::new();
        assert!(!orders.takes_status(at(0)), "there is nothing to go with");
        orders.send(OrderKind::Adjust, at(0));
        assert!(orders.takes_status(at(0)));
        orders.send(OrderKind::Status, at(0));
        assert!(!orders.takes_status(at(0)), "one");
        assert!(orders.answer(OrderKind::Adjust));
        assert!(orders.is_open() && orders.ready_at().is_none());
        assert!(!orders.answer(OrderKind::Adjust), "answered before");
        assert!(orders.answer(OrderKind::Status));
        assert!(!orders.is_open() && !orders.answer(OrderKind::Status));
        for kind in [OrderKind::Step, OrderKind::Status] {
            orders.send(kind, at(0));
            assert!(!orders.takes_status(at(0)), "{kind:?}");
            assert!(orders.answer(kind));
        }
    }

    #[test]
    fn a_status_along_with_an_adjustment_counts_for_the_rate() {
        let mut orders = Orders::new();
        let mut sent = 0;
        for millis in 0..10_000 {
            if is_ready(&orders, at(millis)) {
                orders.send(OrderKind::Adjust, at(millis));
                sent += 1;
                if orders.takes_status(at(millis)) {
                    orders.send(OrderKind::Status, at(millis));
                    sent += 1;
                }
                assert!(orders.answer(OrderKind::Adjust));
                orders.answer(OrderKind::Status);
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
