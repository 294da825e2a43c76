use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a151_no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = parse(&text, "any.toml");
    }

    #[test]
    fn a151_no_edit_of_a_good_file_makes_the_reader_panic_or_run_on_nothing(
        at: prop::sample::Index,
        length in 0usize..40,
        with in "[\\[\\]{}=\",.0-9a-z\n-]{0,12}",
    ) {
        let start = at.index(WHOLE.len());
        let end = (start + length).min(WHOLE.len());
        let edited = format!("{}{with}{}", &WHOLE[..start], &WHOLE[end..]);
        match parse(&edited, "any.toml") {
            Ok(found) => prop_assert!(!found.settings.sources.is_empty() || !found.plan.listen.is_empty()),
            Err(error) => {
                for line in error.to_string().lines() {
                    prop_assert!(line.starts_with("any.toml:"), "{line}");
                }
            }
        }
    }
}
