//! JSON that is taken by its word: no name twice in one object, and none that nobody reads.
//!
//! Two readers that disagree about which of two fields counts would see two archives in one.
//!
//! **Invariant:** pure; bytes to values.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Reads one JSON document.
///
/// # Errors
/// For what is no JSON, and for objects in which a name comes twice.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

/// Reads a value as a `T`.
///
/// # Errors
/// For what is no `T`, and for fields that a `T` does not have, however deep. They are found by writing the `T` again:
/// `deny_unknown_fields` does not see into flattened structs.
pub(super) fn decode<T: DeserializeOwned + Serialize>(value: &Value) -> Result<T, serde_json::Error> {
    let read = T::deserialize(value)?;
    match surplus(value, &serde_json::to_value(&read)?) {
        None => Ok(read),
        Some(path) => Err(serde_json::Error::custom(format!("unknown field or spelling at {path}"))),
    }
}

/// Where `given` says something that is not in `known`.
fn surplus(given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| match known.get(name) {
            None => Some(format!("/{name}")),
            Some(known) => surplus(value, known).map(|rest| format!("/{name}{rest}")),
        }),
        (Value::Array(given), Value::Array(known)) if given.len() == known.len() => {
            let mut pairs = given.iter().zip(known).enumerate();
            pairs.find_map(|(at, (given, known))| surplus(given, known).map(|rest| format!("/{at}{rest}")))
        }
        _ => (given != known).then(String::new),
    }
}

/// A [`Value`] whose objects have every name once.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> DeserializeSeed<'de> for StrictVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        refuse_nul(value).map(|()| value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(StrictVisitor)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            refuse_nul(&name)?;
            let value = entries.next_value_seed(StrictVisitor)?;
            if object.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format!("field \"{name}\" comes twice")));
            }
        }
        Ok(Value::Object(object))
    }
}

/// No server has it in any text, and in a statement it would be the end.
fn refuse_nul<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom("a text with a NUL character")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    struct Inner {
        name: String,
    }

    #[derive(Debug, Deserialize, Serialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
        list: Vec<Inner>,
        gone: Option<i64>,
    }

    fn read(text: &str) -> Result<Outer, String> {
        let value = parse(text.as_bytes()).map_err(|error| error.to_string())?;
        decode(&value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_field_that_nobody_knows_is_named_however_deep() {
        assert!(read(r#"{"name": "a", "list": [{"name": "b"}], "gone": null}"#).is_ok());
        assert!(read(r#"{"name": "a", "list": []}"#).is_ok());
        let wrong = read(r#"{"name": "a", "list": [{"name": "b"}, {"name": "c", "x": 1}]}"#).unwrap_err();
        assert!(wrong.contains("/list/1/x"), "{wrong}");
        assert!(read(r#"{"name": "a", "list": [], "x": null}"#).unwrap_err().contains("/x"));
    }

    #[test]
    fn a_field_that_comes_twice_is_refused_however_deep() {
        for text in
            [r#"{"name": "a", "name": "a", "list": []}"#, r#"{"name": "a", "list": [{"name": "a", "name": ""}]}"#]
        {
            assert!(read(text).unwrap_err().contains("comes twice"), "{text}");
        }
    }

    #[test]
    fn a_text_that_no_server_has_is_refused() {
        for text in [r#"{"name": "a\u0000b", "list": []}"#, r#"{"name": "a", "list": [], "x\u0000": 1}"#] {
            assert!(read(text).unwrap_err().contains("NUL"), "{text}");
        }
    }

    #[test]
    fn nesting_does_not_exhaust_the_stack() {
        assert!(parse(&[b'['; 100_000]).is_err());
    }
}
