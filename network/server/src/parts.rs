//! What comes from the engine in several messages.

use network::ending::Ending;

/// A list whose first part begins it anew and whose last part ends it; none: no part of one has come.
#[derive(Debug)]
pub struct Parts<T>(Option<Vec<T>>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Parts<T> {
    /// Adds a part; the whole list, if it was the last one. `(begins, ends)`: what the part says of itself.
    ///
    /// # Errors
    /// The second of the endings for a part of a list that has not begun, the third for more than so many items.
    pub fn take(
        &mut self,
        (begins, ends): (bool, bool),
        items: impl IntoIterator<Item = T>,
        (most, stray, too_many): (usize, Ending, Ending),
    ) -> Result<Option<Vec<T>>, Ending> {
        if begins {
            self.0 = Some(Vec::new());
        }
        let list = self.0.as_mut().ok_or(stray)?;
        list.extend(items);
        if list.len() > most {
            return Err(too_many);
        }
        Ok(if ends { self.0.take() } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_whole_with_its_last_part_and_none_goes_on_that_has_not_begun() {
        let most = || (3, Ending::Rule("stray"), Ending::Rule("many"));
        let mut parts = Parts::default();
        assert!(parts.take((false, false), [1], most()).is_err());
        assert_eq!(parts.take((true, false), [1], most()).ok(), Some(None));
        assert_eq!(parts.take((false, true), [2], most()).ok(), Some(Some(vec![1, 2])));
        assert!(parts.take((false, true), [3], most()).is_err(), "it has ended");
        assert_eq!(parts.take((true, false), [1, 2, 3], most()).ok(), Some(None));
        assert_eq!(parts.take((true, true), [4], most()).ok(), Some(Some(vec![4])), "begun anew");
        assert!(parts.take((true, true), [1, 2, 3, 4], most()).is_err());
    }
}
