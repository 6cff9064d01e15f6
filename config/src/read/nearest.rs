//! What somebody may have meant.

/// The known word nearest to a mistyped one, if it is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let near_enough = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= near_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_is_near_is_meant() {
        let known = ["memory_max", "memory_min", "tasks_max", "pid"];
        assert_eq!(nearest("memory_maks", known), Some("memory_max"));
        assert_eq!(nearest("memroy_min", known), Some("memory_min"));
        assert_eq!(nearest("pdi", known), Some("pid"));
        assert_eq!(nearest("colour", known), None);
    }
}
