// SPDX-License-Identifier: Apache-2.0
//! Numbers in sentences.

/// A number and what is counted, in the plural where it is not one.
pub(super) fn counted(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(1, "shard"), "1 shard");
        assert_eq!(counted(0, "shard"), "0 shards");
        assert_eq!(counted(2, "policy"), "2 policies");
    }
}
