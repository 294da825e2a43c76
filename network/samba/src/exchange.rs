//! One request and its answer on a stream: what is to be written, and what has been read.

use crate::frame::{ANSWER, Answer, REQUEST, Request, Wrong};

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    request: Request,
    out: [u8; REQUEST],
    written: usize,
    answer: [u8; ANSWER],
    read: usize,
}

impl Exchange {
    pub(super) fn new(request: Request) -> Self {
        Self { request, out: request.encode(), written: 0, answer: [0; ANSWER], read: 0 }
    }

    /// The request.
    pub(super) fn request(&self) -> Request {
        self.request
    }

    /// Whether nothing of an answer has come.
    pub(super) fn is_unanswered(&self) -> bool {
        self.read == 0
    }

    /// What is still to be written.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.out.get(self.written..).unwrap_or_default()
    }

    /// So many octets of it were written.
    pub(super) fn wrote(&mut self, octets: usize) {
        self.written = self.written.saturating_add(octets).min(REQUEST);
    }

    /// Where the next octets of the answer are to be read into; never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.answer.get_mut(self.read..).unwrap_or_default()
    }

    /// So many octets were read there; returns the answer once it is whole.
    ///
    /// # Errors
    /// [`Wrong`]: these octets cannot become an answer to the request, or there are more than one answer has.
    pub(super) fn took(&mut self, octets: usize) -> Result<Option<Answer>, Wrong> {
        self.read = self.read.saturating_add(octets).min(ANSWER);
        let so_far = self.answer.get(..self.read).ok_or(Wrong)?;
        match Request::length(so_far)? {
            Some(length) if so_far.len() > length => Err(Wrong),
            Some(length) if so_far.len() == length => {
                // Before the whole request is there it answers something else.
                if self.unwritten().is_empty() { self.request.judge(so_far).map(Some) } else { Err(Wrong) }
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST_OF_FIVE: Request = Request { number: 5, account: 1105, header: [7; 48] };

    fn answer(number: u32) -> Vec<u8> {
        let mut octets = [80, 0, 3, number].map(u32::to_be_bytes).concat();
        octets.extend([[7; 48].as_slice(), &1105u32.to_le_bytes(), &[1; 16]].concat());
        octets
    }

    fn give(exchange: &mut Exchange, octets: &[u8]) -> Result<Option<Answer>, Wrong> {
        exchange.room()[..octets.len()].copy_from_slice(octets);
        exchange.took(octets.len())
    }

    #[test]
    fn an_answer_may_come_in_any_parts_and_is_one_when_it_is_whole() {
        let whole = answer(5);
        for cut in 1..whole.len() {
            let mut exchange = Exchange::new(REQUEST_OF_FIVE);
            exchange.wrote(60);
            assert_eq!(exchange.unwritten().len(), REQUEST - 60);
            exchange.wrote(8);
            assert_eq!(give(&mut exchange, &whole[..cut]), Ok(None), "{cut}");
            assert_eq!(give(&mut exchange, &whole[cut..]), Ok(Some(Answer::Signed([1; 16]))), "{cut}");
        }
    }

    #[test]
    fn an_answer_before_the_request_to_another_one_or_with_something_behind_it_is_wrong() {
        let mut early = Exchange::new(REQUEST_OF_FIVE);
        early.wrote(67);
        assert_eq!(give(&mut early, &answer(5)), Err(Wrong));
        let mut other = Exchange::new(REQUEST_OF_FIVE);
        other.wrote(REQUEST);
        assert_eq!(give(&mut other, &answer(4)), Err(Wrong));
        let mut more = Exchange::new(REQUEST_OF_FIVE);
        more.wrote(REQUEST);
        let refusal = [12, 0, 4, 5].map(u32::to_be_bytes).concat();
        assert_eq!(give(&mut more, &[&refusal[..], &[0]].concat()), Err(Wrong));
    }
}
