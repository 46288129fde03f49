//! Fields as servers really send them.
//!
//! Text may be a string, `null`, a number, or an array of parts; counts may be `null` or floats; the
//! arguments of a tool call are JSON inside a string, or JSON. Nothing here ever rejects a whole answer
//! because one of its side fields is odd; text of a wrong shape altogether still does.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::error::{Error, Kind};

/// Text in any of its shapes; absent and `null` are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, null or an array of text parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Text, E> {
        Ok(Text(text))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Text, A::Error> {
        let mut joined = String::new();
        while let Some(part) = parts.next_element::<Part>()? {
            joined.push_str(part.text());
        }
        Ok(Text(joined))
    }

    fn visit_map<A: MapAccess<'de>>(self, part: A) -> Result<Text, A::Error> {
        let part = Part::deserialize(MapAccessDeserializer::new(part))?;
        Ok(Text(part.text().to_owned()))
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Part {
    Plain(String),
    Typed {
        #[serde(default)]
        r#type: Option<String>,
        text: Text,
    },
    Other(IgnoredAny),
}

impl Part {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            // Thoughts and tool references also carry text; they are no part of the answer.
            Self::Typed { r#type, text }
                if matches!(r#type.as_deref(), None | Some("text" | "output_text")) =>
            {
                &text.0
            }
            Self::Typed { .. } | Self::Other(IgnoredAny) => "",
        }
    }
}

/// A token count; anything that is not a number is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count(pub(crate) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }
            fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
                Ok(Count(count))
            }
            fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
                Ok(Count(u64::try_from(count).unwrap_or(0)))
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "`as` saturates, which is what a count needs"
            )]
            fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
                Ok(Count(count as u64))
            }
            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(0))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
                Ok(Count(0))
            }
            fn visit_str<E>(self, count: &str) -> Result<Count, E> {
                Ok(Count(count.parse().unwrap_or(0)))
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}

/// `null` reads as the default, like a missing field.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A value that may have any shape; a wrong one is the default.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Lenient<T>(pub(crate) T);

impl<'de, T: Default + DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self(T::deserialize(value).unwrap_or_default()))
    }
}

/// Arguments of a tool call: JSON inside a string on most wires, plain JSON on some.
/// Empty is `{}`; text that is not JSON becomes `{"raw_arguments": text}`.
pub(crate) fn arguments(sent: Option<Value>) -> Value {
    match sent {
        None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
        Some(Value::String(text)) if text.trim().is_empty() => {
            Value::Object(serde_json::Map::new())
        }
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(parsed) => parsed,
            Err(_) => serde_json::json!({ "raw_arguments": text }),
        },
        Some(other) => other,
    }
}

/// Serialises a JSON value as a string holding that JSON, the way arguments travel.
pub(crate) struct Embedded<'a>(pub(crate) &'a Value);

impl Serialize for Embedded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What could not be parsed on the way in goes back as it came.
        if let Value::Object(map) = self.0
            && let (1, Some(Value::String(text))) = (map.len(), map.get("raw_arguments"))
        {
            return serializer.serialize_str(text);
        }
        serializer.collect_str(self.0)
    }
}

/// The `error` member of an answer or a stream frame.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Fault {
    /// Just a sentence.
    Plain(String),
    /// The usual object.
    Detailed {
        /// For people.
        #[serde(default)]
        message: Text,
        /// A word or an HTTP status.
        #[serde(default)]
        code: Text,
        /// A word.
        #[serde(default)]
        r#type: Text,
    },
    /// Something else, still an error.
    Other(Value),
}

impl Fault {
    /// The human sentence, or the raw JSON.
    pub(crate) fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Detailed { message, code, r#type } if message.0.is_empty() => {
                Cow::Owned(format!("{} {}", code.0, r#type.0).trim().to_owned())
            }
            Self::Detailed { message, .. } => Cow::Borrowed(&message.0),
            Self::Other(value) => Cow::Owned(value.to_string()),
        }
    }

    /// An error with this text, of the kind the code or type names, else of `otherwise`.
    pub(crate) fn into_error(self, prefix: &str, otherwise: Kind) -> Error {
        let text = format!("{prefix}{}", self.message());
        let Self::Detailed { code, r#type, .. } = &self else {
            return Error::new(otherwise, text);
        };
        let status = code.0.parse::<u16>().ok().filter(|status| *status >= 400);
        let kind = status
            .and_then(Kind::from_status)
            .or_else(|| kind_of_word(&code.0))
            .or_else(|| kind_of_word(&r#type.0))
            .unwrap_or(otherwise);
        let error = Error::new(kind, text);
        match status {
            Some(status) => error.with_status(status),
            None => error,
        }
    }
}

fn kind_of_word(word: &str) -> Option<Kind> {
    Some(match word {
        "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" => Kind::RateLimited,
        "insufficient_quota" | "billing_hard_limit_reached" => Kind::QuotaExhausted,
        "server_error" | "internal_error" | "internal_server_error" | "overloaded_error" => {
            Kind::Server
        }
        "invalid_api_key" | "authentication_error" => Kind::Authentication,
        "permission_error" => Kind::PermissionDenied,
        "model_not_found" | "not_found_error" => Kind::NotFound,
        "invalid_request_error" | "invalid_prompt" | "context_length_exceeded" => Kind::BadRequest,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_comes_in_many_shapes() {
        for (sent, read) in [
            (json!("a"), "a"),
            (json!(null), ""),
            (json!(7), "7"),
            (json!([]), ""),
            (json!(["a", "b"]), "ab"),
            (json!([{"type": "text", "text": "a"}, {"text": "b"}, {"type": "image_url"}]), "ab"),
            (json!([{"type": "thinking", "text": "hm"}, {"type": "text", "text": "yes"}]), "yes"),
            (json!({"type": "text", "text": "a"}), "a"),
        ] {
            assert_eq!(Text::deserialize(&sent).unwrap().0, read, "{sent}");
            let text = sent.to_string();
            assert_eq!(serde_json::from_str::<Text>(&text).unwrap().0, read, "{sent}");
        }
    }

    #[test]
    fn counts_never_reject() {
        for (sent, read) in
            [("3", 3), ("-3", 0), ("2.9", 2), ("null", 0), ("\"4\"", 4), ("1e99", u64::MAX)]
        {
            assert_eq!(serde_json::from_str::<Count>(sent).unwrap().0, read, "{sent}");
        }
    }

    #[test]
    fn arguments_survive_whatever_the_model_wrote() {
        assert_eq!(arguments(Some(json!(r#"{"a":1}"#))), json!({"a": 1}));
        assert_eq!(arguments(Some(json!("{oops"))), json!({"raw_arguments": "{oops"}));
        for empty in [None, Some(json!(null)), Some(json!("")), Some(json!("  "))] {
            assert_eq!(arguments(empty), json!({}));
        }
        assert_eq!(arguments(Some(json!({"a": 1}))), json!({"a": 1}));
        let raw = json!({"raw_arguments": "{oops"});
        assert_eq!(serde_json::to_value(Embedded(&raw)).unwrap(), json!("{oops"));
    }

    #[test]
    fn a_fault_finds_its_kind() {
        for (sent, kind) in [
            (json!({"message": "m", "code": 429}), Kind::RateLimited),
            (json!({"message": "m", "code": "503"}), Kind::Server),
            (json!({"message": "m", "code": "insufficient_quota"}), Kind::QuotaExhausted),
            (
                json!({"message": "m", "type": "authentication_error", "code": null}),
                Kind::Authentication,
            ),
            (json!({"message": "m"}), Kind::Stream),
            (json!("m"), Kind::Stream),
            (json!(["m"]), Kind::Stream),
        ] {
            let fault: Fault = serde_json::from_value(sent.clone()).unwrap();
            let error = fault.into_error("Stream error: ", Kind::Stream);
            assert_eq!(error.kind(), kind, "{sent}");
            assert!(error.message().starts_with("Stream error: "), "{error}");
        }
    }
}
