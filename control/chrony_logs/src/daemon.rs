//! What the daemon has measured since the last question.

use crate::position::{Position, is_run};
use control_socket::{AskError, measured_here, read};
use report::read::{CorrectionReport, MeasuredReply, MeasuredReport};
use std::path::PathBuf;
use std::time::Duration;

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most measurements and corrections in an answer.
const MOST: usize = 256;

/// The daemon behind a control socket.
#[derive(Debug)]
pub struct Daemon {
    /// The socket.
    pub socket: PathBuf,
}

/// Its answer.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Up to which of them it goes, of which run.
    pub position: Position,
    /// Those that are not kept any more, and were not told before.
    pub lost: u64,
    /// Whether another question would bring more.
    pub has_more: bool,
    /// Seconds until the next query of a source.
    pub next_query: Option<f64>,
    /// Measurements, in their order.
    pub measured: Vec<MeasuredReport>,
    /// Corrections of the clock, in their order.
    pub corrections: Vec<CorrectionReport>,
}

impl Daemon {
    /// What came beyond this position; of another run all that it still has.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn news(&self, known: &Position) -> Result<News, AskError> {
        let ask = |after| {
            let reply = measured_here(&self.socket, after, PATIENCE)?;
            // No engine sends more; each takes many times its octets here.
            let lists =
                ["measured", "corrections"].into_iter().filter_map(|list| reply.get(list)?.as_array());
            let is_bounded = lists.map(Vec::len).sum::<usize>() <= MOST;
            if is_bounded { read::<MeasuredReply>(&reply) } else { Err(AskError::NotUnderstood) }
        };
        let reply = ask(known.number)?;
        if known.number == 0 || reply.run.as_deref() == Some(&known.run) {
            return News::of(reply, known);
        }
        News::of(ask(0)?, known)
    }
}

impl News {
    fn of(reply: MeasuredReply, known: &Position) -> Result<Self, AskError> {
        let run = reply.run.filter(|run| is_run(run)).ok_or(AskError::NotUnderstood)?;
        let before = if run == known.run { known.number } else { 0 };
        let measured = in_order(reply.measured, before, |it| it.number);
        let corrections = in_order(reply.corrections, before, |it| it.number);
        let last = measured.last().and_then(|it| it.number).max(corrections.last().and_then(|it| it.number));
        let counted = reply.counted.unwrap_or(0);
        // Where nothing came there is nothing: their sources are gone.
        let number = last.unwrap_or(counted.max(before));
        let came = (measured.len() + corrections.len()) as u64;
        Ok(Self {
            lost: (number - before).saturating_sub(came),
            has_more: number < counted && came > 0,
            position: Position { run, number },
            next_query: reply.next_query_s,
            measured,
            corrections,
        })
    }
}

/// Those with a number above `before`, each once.
fn in_order<T>(all: Option<Vec<T>>, before: u64, number: impl Fn(&T) -> Option<u64>) -> Vec<T> {
    let mut all = all.unwrap_or_default();
    all.retain(|it| number(it) > Some(before));
    all.sort_by_key(&number);
    all.dedup_by_key(|it| number(it));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(run: &str, counted: u64, numbers: &[u64], known: (&str, u64)) -> News {
        // Each third one is a correction.
        let (corrections, measured): (Vec<u64>, Vec<u64>) =
            numbers.iter().partition(|number| *number % 3 == 0);
        let one = |number: &u64| MeasuredReport { number: Some(*number), ..Default::default() };
        let other = |number: &u64| CorrectionReport { number: Some(*number), ..Default::default() };
        let reply = MeasuredReply {
            run: Some(run.to_owned()),
            counted: Some(counted),
            measured: Some(measured.iter().map(one).collect()),
            corrections: Some(corrections.iter().map(other).collect()),
            ..Default::default()
        };
        News::of(reply, &Position { run: known.0.to_owned(), number: known.1 }).unwrap()
    }

    /// Numbers that are taken, corrections behind measurements; the last one dealt with, how many are lost, and whether there is
    /// more.
    fn taken(run: &str, counted: u64, numbers: &[u64], known: (&str, u64)) -> (Vec<u64>, u64, u64, bool) {
        let news = news(run, counted, numbers, known);
        let measured = news.measured.iter().filter_map(|it| it.number);
        let taken = measured.chain(news.corrections.iter().filter_map(|it| it.number)).collect();
        (taken, news.position.number, news.lost, news.has_more)
    }

    #[test]
    fn each_is_taken_once_in_order_and_what_is_missing_is_counted() {
        assert_eq!(taken("a", 6, &[4, 5, 6], ("a", 3)), (vec![4, 5, 6], 6, 0, false));
        assert_eq!(taken("a", 5, &[], ("a", 5)), (vec![], 5, 0, false));
        assert_eq!(taken("a", 9, &[8, 5, 6], ("a", 3)), (vec![5, 8, 6], 8, 2, true));
        assert_eq!(taken("a", 9, &[6], ("a", 3)), (vec![6], 6, 2, true));
        assert_eq!(taken("a", 9, &[], ("a", 3)), (vec![], 9, 6, false), "their sources are gone");
        assert_eq!(taken("b", 2, &[1, 2], ("a", 3)), (vec![1, 2], 2, 0, false), "another run");
        assert_eq!(taken("b", 9, &[8, 9], ("a", 3)), (vec![8, 9], 9, 7, false));
        assert_eq!(taken("a", 4, &[4, 4, 2, 3], ("a", 3)), (vec![4], 4, 0, false), "said twice");
        assert_eq!(taken("a", 0, &[], ("a", 3)), (vec![], 3, 0, false), "less than before");
    }

    #[test]
    fn a_run_without_a_name_is_not_understood() {
        for run in [None, Some(""), Some("../x"), Some("a b")] {
            let reply = MeasuredReply { run: run.map(str::to_owned), ..Default::default() };
            assert!(matches!(News::of(reply, &Position::default()), Err(AskError::NotUnderstood)));
        }
    }
}
