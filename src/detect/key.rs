//! The keys of an event under a pattern's `by`.

use std::sync::Arc;

use crate::event::{Scalar, View};

/// The most keys that one event gives one pattern; an event's arrays are its sender's to choose. Further ones are
/// left out, in byte order, and counted.
pub const KEYS_PER_EVENT_MAX: usize = 1_000;

/// What an event's fields combine to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Combined {
    /// In byte order.
    pub kept: Vec<Vec<Arc<str>>>,
    /// How many more there would be, without the bound.
    pub cut: u64,
}

/// One text for each path of `by`, as written; arrays give one key for each distinct element, several arrays their
/// cross product, in byte order. Empty when a field is missing: then there is no signal. Without `by` there is the
/// one empty key.
pub fn keys(view: View<'_>, by: &[Arc<str>]) -> Combined {
    combined(by.iter().map(|path| texts(view, path)))
}

/// The cross product of several fields' texts, in their order: at most [`KEYS_PER_EVENT_MAX`] combinations.
pub fn combined(fields: impl Iterator<Item = Vec<Arc<str>>>) -> Combined {
    let mut kept: Vec<Vec<Arc<str>>> = vec![Vec::new()];
    let mut all = 1u64;
    for texts in fields {
        all = all.saturating_mul(texts.len() as u64);
        kept = kept
            .iter()
            .flat_map(|key| {
                texts.iter().map(move |text| {
                    let mut longer = key.clone();
                    longer.push(text.clone());
                    longer
                })
            })
            .take(KEYS_PER_EVENT_MAX)
            .collect();
    }
    Combined { cut: all.saturating_sub(kept.len() as u64), kept }
}

/// The distinct texts at `path` in byte order; none when it is missing or empty.
fn texts(view: View<'_>, path: &str) -> Vec<Arc<str>> {
    let Some(slot) = view.slot(path) else { return Vec::new() };
    let texts = view.scalars(slot).map(Scalar::as_text).filter(|text| !text.is_empty());
    let mut texts: Vec<Arc<str>> = texts.map(Arc::from).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Slots, Value, Wanted};

    fn keys_of(json: serde_json::Value, by: &[&str]) -> Vec<String> {
        let Value::Object(entries) = Value::from_json(&json) else { panic!("an object") };
        let fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let by: Vec<Arc<str>> = by.iter().map(|path| Arc::from(*path)).collect();
        let (wanted, mut slots) = (Wanted::new(&by), Slots::default());
        slots.fill(&wanted, &fields);
        keys(slots.view(&wanted, ""), &by).kept.iter().map(|key| key.join("|")).collect()
    }

    #[test]
    fn a_number_and_its_text_are_one_key() {
        assert_eq!(keys_of(serde_json::json!({"a": 22}), &["a"]), keys_of(serde_json::json!({"a": "22"}), &["a"]));
    }

    #[test]
    fn strangers_never_share_an_empty_key() {
        for missing in [serde_json::json!({}), serde_json::json!({"a": ""}), serde_json::json!({"a": []})] {
            assert!(keys_of(missing, &["a"]).is_empty());
        }
        assert_eq!(keys_of(serde_json::json!({}), &[]), [""]);
    }

    #[test]
    fn arrays_give_their_cross_product_in_byte_order() {
        let event = serde_json::json!({"a": ["y", "x", "y"], "b": [2, 10]});
        assert_eq!(keys_of(event, &["a", "b"]), ["x|10", "x|2", "y|10", "y|2"]);
    }

    #[test]
    fn keys_beyond_the_bound_are_counted() {
        let texts = |n: usize| (0..n).map(|n| Arc::from(n.to_string())).collect::<Vec<Arc<str>>>();
        let of = combined([texts(30), texts(50), texts(1)].into_iter());
        assert_eq!((of.kept.len(), of.cut), (KEYS_PER_EVENT_MAX, 500));
        assert_eq!(combined([texts(3), texts(0)].into_iter()), Combined::default());
    }
}
