//! Filters against a model that was written down differently: on values, not on text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn matches(filter: &Value, pairs: &[(&str, &str)]) -> bool {
    Filter::parse(filter).unwrap().matches(&metadata(pairs))
}

#[test]
fn numbers_compare_as_numbers_and_texts_as_texts() {
    let page = |filter: Value, value: &str| matches(&json!({ "page": filter }), &[("page", value)]);
    assert!(page(json!({"lt": 10}), "9") && !page(json!({"lt": "10"}), "9"));
    assert!(page(json!(3), "3.0") && !page(json!("3"), "3.0"));
    assert!(page(json!({"in": [1.5, "x"]}), "15e-1") && page(json!({"in": [1.5, "x"]}), "x"));
    assert!(!page(json!({"gt": 0}), "many") && !page(json!({"le": 0}), "many"));
    assert!(!page(json!({"gt": 0}), "inf") && !page(json!({"ge": 0}), "nan"));
    // Neighbours that one double stands for.
    assert!(!page(json!(9_007_199_254_740_993_u64), "9007199254740992"));
    assert!(page(json!({"gt": 9_007_199_254_740_992_u64}), "9007199254740993"));
    assert!(page(json!(-0.0), "0") && page(json!(true), "true"));
    assert!(page(json!({"ge": "2024-05", "lt": "2024-06"}), "2024-05-31"));
}

#[test]
fn conditions_are_kept_as_they_were_written_or_would_be() {
    let written =
        json!({"lang": "en", "any": [{"page": {"ge": 1.5}}, {"page": 9_007_199_254_740_993_u64}]});
    assert_eq!(Filter::parse(&written).unwrap().conditions(), &written);
    let names = ["a", "it's", "7"].map(str::to_owned);
    for made in [Filter::one_of("k", names), Filter::equal("k", "7"), Filter::one_of("k", [])] {
        let read = Filter::parse(made.conditions()).unwrap();
        for value in ["a", "it's", "7", "7.0", "b"] {
            let metadata = metadata(&[("k", value)]);
            assert_eq!(read.matches(&metadata), made.matches(&metadata), "{value}");
        }
    }
}

#[test]
fn a_missing_key_fulfils_only_what_denies() {
    for filter in [json!(""), json!({"in": ["", "x"]}), json!({"lt": "x"}), json!({"prefix": ""})] {
        assert!(!matches(&json!({ "key": filter }), &[]));
        assert!(matches(&json!({"not": { "key": filter }}), &[]));
    }
    assert!(matches(&json!({"key": {"ne": "x"}}), &[]));
    assert!(matches(&json!({}), &[]) && matches(&json!({"all": []}), &[]));
    assert!(!matches(&json!({"any": []}), &[("a", "b")]));
}

#[test]
fn what_is_not_understood_is_named() {
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({ "not": deep });
    }
    for (filter, words) in [
        (json!([]), "'where' with value '[]': must be an object"),
        (json!({"page": {"near": 3}}), "'where.page.near' with value '3': is no condition"),
        (json!({"page": {"lt": null}}), "'where.page.lt' with value 'null'"),
        (json!({"page": ["a"]}), r#"'where.page' with value '["a"]': must be one value"#),
        (json!({"page": {}}), "'where.page' with value '{}': names no condition"),
        (json!({"page": {"in": "a"}}), "must be a list"),
        (json!({"page": {"prefix": 1}}), "must be a text"),
        (json!({"any": [{"a": {"b": 1}}]}), "'where.any.a.b'"),
        (json!({"any": {"a": 1}}), "must be a list of objects"),
        (json!({"not": "a"}), "must be an object"),
        (deep, "nested too deeply"),
        (json!({"page": {"lt": ["x".repeat(500)]}}), "...'"),
    ] {
        let error = Filter::parse(&filter).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Validation);
        assert!(error.message().contains(words), "{error} has no {words}");
    }
}

/// A condition with its meaning for a row of two small numbers, each of which may be missing.
#[derive(Clone, Debug)]
enum Model {
    Test(usize, &'static str, i8),
    Among(usize, Vec<i8>),
    Not(Box<Model>),
    Any(Vec<Model>),
    All(Vec<Model>),
}

const KEYS: [&str; 2] = ["a", "b"];

impl Model {
    fn json(&self) -> Value {
        match self {
            Self::Test(key, test, number) => json!({ KEYS[*key]: { *test: number } }),
            Self::Among(key, numbers) => json!({ KEYS[*key]: { "in": numbers } }),
            Self::Not(part) => json!({ "not": part.json() }),
            Self::Any(parts) => json!({ "any": parts.iter().map(Self::json).collect::<Vec<_>>() }),
            Self::All(parts) => json!({ "all": parts.iter().map(Self::json).collect::<Vec<_>>() }),
        }
    }

    fn holds(&self, row: [Option<i8>; 2]) -> bool {
        match self {
            Self::Test(key, "ne", number) => row[*key] != Some(*number),
            Self::Test(key, test, number) => row[*key].is_some_and(|value| match *test {
                "eq" => value == *number,
                "lt" => value < *number,
                "le" => value <= *number,
                "gt" => value > *number,
                _ => value >= *number,
            }),
            Self::Among(key, numbers) => row[*key].is_some_and(|value| numbers.contains(&value)),
            Self::Not(part) => !part.holds(row),
            Self::Any(parts) => parts.iter().any(|part| part.holds(row)),
            Self::All(parts) => parts.iter().all(|part| part.holds(row)),
        }
    }
}

fn models() -> impl Strategy<Value = Model> {
    let tests = prop::sample::select(vec!["eq", "ne", "lt", "le", "gt", "ge"]);
    let leaf = prop_oneof![
        (0_usize..2, tests, -12_i8..12)
            .prop_map(|(key, test, number)| Model::Test(key, test, number)),
        (0_usize..2, prop::collection::vec(-12_i8..12, 0..4))
            .prop_map(|(key, numbers)| Model::Among(key, numbers)),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Model::Not(Box::new(part))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Model::Any),
            prop::collection::vec(inner, 0..3).prop_map(Model::All),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn filters_mean_what_the_model_says(
        model in models(),
        rows in prop::collection::vec([prop::option::of(-12_i8..12), prop::option::of(-12_i8..12)], 30),
    ) {
        let filter = Filter::parse(&model.json()).unwrap();
        for row in rows {
            let pairs = KEYS.iter().zip(row).filter_map(|(key, value)| {
                Some(((*key).to_owned(), value?.to_string()))
            });
            prop_assert_eq!(filter.matches(&pairs.collect()), model.holds(row), "{:?}", row);
        }
    }
}
