use std::cell::RefCell;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, Expected, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Value, json};

use super::finding::{FieldFinding, Mismatch, PathStep, Problem};
use super::{quantity, time};

/// Value of a field whose Go type is determined without a value.
const NULL: Value = Value::Null;

/// Only field without which a type cannot be decoded here. In Go it is optional.
const REQUIRED: &str = "lastTransitionTime";

/// Value of an absent required field.
static EPOCH: LazyLock<Value> = LazyLock::new(|| json!("1970-01-01T00:00:00Z"));

/// Result of decoding one object.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Undeclared fields and mismatched values, in the order of the object.
    pub(crate) findings: Vec<FieldFinding>,
    /// Values that the API server stores in another form, by path.
    pub(crate) canonical: Vec<(Vec<PathStep>, Value)>,
    /// Go type that is being determined; `None` while values are decoded.
    go_type: Option<String>,
}

/// Decodes an object into the type `T` and returns the findings.
///
/// A value of a wrong type is reported and counts as the zero value of its type, as in Go, so that
/// all fields after it are checked too.
pub(super) fn decode_into<'de, T: Deserialize<'de>>(object: &Value) -> Decoded {
    decode_below::<T>(object, &Position::Root)
}

/// Decodes the metadata of a custom object, whose other fields have no Go type.
pub(crate) fn decode_metadata(object: &Value) -> Decoded {
    let position = Position::Key { parent: &Position::Root, key: "metadata" };
    decode_below::<ObjectMeta>(object.get("metadata").unwrap_or(&NULL), &position)
}

/// Decodes the value at a position of an object.
fn decode_below<'de, T: Deserialize<'de>>(value: &Value, position: &Position<'_>) -> Decoded {
    let decoded = RefCell::default();
    let result = T::deserialize(Decoder { value, position, decoded: &decoded });
    let mut decoded = decoded.into_inner();
    if let (Err(error), false) = (result, decoded.findings.iter().any(FieldFinding::is_mismatch)) {
        let mismatch = Mismatch { structure: "", field: String::new(), problem: Problem::Parse(error.to_string()) };
        decoded.findings.push(FieldFinding::mismatch(Vec::new(), mismatch));
    }
    decoded
}

/// Position of a value in an object, as a list from the value to the root.
#[derive(Debug, Clone, Copy)]
enum Position<'p> {
    /// Root: the object as a whole.
    Root,
    /// Field of a Go struct, with the name of the struct.
    Field { parent: &'p Position<'p>, structure: &'static str, name: &'p str },
    /// Value under a key of a map.
    Key { parent: &'p Position<'p>, key: &'p str },
    /// Item of a list.
    Item { parent: &'p Position<'p>, index: usize },
}

impl Position<'_> {
    /// Returns the path from the root.
    fn path(&self) -> Vec<PathStep> {
        let (parent, step) = match *self {
            Self::Root => return Vec::new(),
            Self::Field { parent, name, .. } => (parent, PathStep::Key(name.to_owned())),
            Self::Key { parent, key } => (parent, PathStep::Key(key.to_owned())),
            Self::Item { parent, index } => (parent, PathStep::Item(index)),
        };
        let mut path = parent.path();
        path.push(step);
        path
    }

    /// Returns the innermost struct; empty at the root.
    fn structure(&self) -> &'static str {
        match *self {
            Self::Root => "",
            Self::Field { structure, .. } => structure,
            Self::Key { parent, .. } | Self::Item { parent, .. } => parent.structure(),
        }
    }

    /// Returns the fields of structs on the path, joined by dots, as Go names a field.
    fn go_field(&self) -> String {
        match *self {
            Self::Root => String::new(),
            Self::Field { parent, name, .. } => {
                let before = parent.go_field();
                if before.is_empty() { name.to_owned() } else { format!("{before}.{name}") }
            }
            Self::Key { parent, .. } | Self::Item { parent, .. } => parent.go_field(),
        }
    }
}

/// Deserializer of a JSON value that behaves as `encoding/json` of Go does.
#[derive(Debug, Clone, Copy)]
struct Decoder<'a> {
    value: &'a Value,
    position: &'a Position<'a>,
    decoded: &'a RefCell<Decoded>,
}

impl Decoder<'_> {
    /// Returns true while the Go type of a field is determined, with null as the value.
    fn is_probe(self) -> bool {
        self.decoded.borrow().go_type.is_some()
    }

    /// Reports the Go type of the field, and a mismatch if the value has another type.
    fn expect(self, go_type: &str, fits: bool) {
        let mut decoded = self.decoded.borrow_mut();
        if let Some(determined) = &mut decoded.go_type {
            go_type.clone_into(determined);
            return;
        }
        drop(decoded);
        if !fits && !self.value.is_null() {
            self.report(Problem::Type { expected: go_type.to_owned(), found: self.value.clone() });
        }
    }

    /// Reports a problem with the value.
    fn report(self, problem: Problem) {
        let mismatch = Mismatch { structure: self.position.structure(), field: self.position.go_field(), problem };
        self.decoded.borrow_mut().findings.push(FieldFinding::mismatch(self.position.path(), mismatch));
    }

    /// Records the form in which the API server stores the value.
    fn store_as(self, value: Value) {
        if !self.is_probe() && *self.value != value {
            self.decoded.borrow_mut().canonical.push((self.position.path(), value));
        }
    }

    /// Determines the Go type of a list or map from its items, and reports it as expected.
    ///
    /// `visit` decodes one item with the decoder that it is given.
    fn expect_items<T>(self, prefix: &str, visit: impl FnOnce(Self) -> Result<T, Error>) -> Result<T, Error> {
        let outer = self.decoded.borrow_mut().go_type.replace(String::new());
        let result = visit(Decoder { value: &NULL, ..self });
        let item = std::mem::replace(&mut self.decoded.borrow_mut().go_type, outer).unwrap_or_default();
        self.expect(&format!("{prefix}{item}"), false);
        result
    }

    /// Returns the error of a text in base64 in the words of Go; `None` if it is valid.
    fn base64_error(text: &str) -> Option<String> {
        let offset = match STANDARD.decode(text).err()? {
            base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _) => offset,
            _ => text.len(),
        };
        Some(format!("illegal base64 data at input byte {offset}"))
    }
}

/// Defines the decoding of a scalar: its Go type, its value, and its zero value.
macro_rules! scalar {
    ($method:ident, $visit:ident, $go_type:literal, $zero:expr, $value:expr) => {
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let value = $value(self.value);
            self.expect($go_type, value.is_some());
            visitor.$visit(value.unwrap_or($zero))
        }
    };
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = Error;

    scalar!(deserialize_bool, visit_bool, "bool", false, Value::as_bool);
    scalar!(deserialize_i32, visit_i32, "int32", 0, |value: &Value| value
        .as_i64()
        .and_then(|number| number.try_into().ok()));
    scalar!(deserialize_i64, visit_i64, "int64", 0, Value::as_i64);
    scalar!(deserialize_f64, visit_f64, "float64", 0.0, Value::as_f64);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let is_int_or_string = (&visitor as &dyn Expected).to_string() == "IntOrString";
        if is_int_or_string && !self.value.is_string() && !self.value.is_i64() {
            self.expect("intstr.IntOrString", false);
            return visitor.visit_i32(0);
        }
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => visitor.visit_i64(integer),
                (None, Some(integer)) => visitor.visit_u64(integer),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(_) => visitor.visit_seq(ItemAccess::new(self)),
            Value::Object(_) => visitor.visit_map(EntryAccess::new(self, Some(self.position.structure()))),
        }
    }

    /// Decodes a text; a null in a map is stored as an empty text.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() && matches!(self.position, Position::Key { .. }) {
            self.store_as(json!(""));
        }
        self.expect("string", self.value.is_string());
        visitor.visit_str(self.value.as_str().unwrap_or_default())
    }

    /// Decodes bytes: only the type for base64 asks for a borrowed text.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.expect("[]uint8", self.value.is_string());
        if let Some(error) = Self::base64_error(self.value.as_str().unwrap_or_default()) {
            self.report(Problem::Parse(error));
        }
        visitor.visit_str("")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() && !self.is_probe() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// Decodes the types with a parser of their own. Their parsed value is not used.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        let zero = match name {
            "Quantity" => {
                self.quantity();
                "0"
            }
            "Time" | "MicroTime" => {
                self.time(name);
                "1970-01-01T00:00:00Z"
            }
            _ => return visitor.visit_newtype_struct(self),
        };
        visitor.visit_newtype_struct(StrDeserializer::new(zero))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_array() {
            return visitor.visit_seq(ItemAccess::new(self));
        }
        self.expect_items("[]", |item| visitor.visit_seq(ProbeAccess { decoder: item, is_done: false }))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_object() {
            return visitor.visit_map(EntryAccess::new(self, None));
        }
        self.expect_items("map[string]", |item| visitor.visit_map(ProbeAccess { decoder: item, is_done: false }))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.expect(&format!("v1.{name}"), self.value.is_object());
        visitor.visit_map(EntryAccess::new(self, Some(name)))
    }

    /// Reports an undeclared field.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.decoded.borrow_mut().findings.push(FieldFinding::undeclared(self.position.path()));
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 u8 u16 u32 u64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

impl Decoder<'_> {
    /// Checks a quantity. A number is stored as text.
    fn quantity(self) {
        self.expect("resource.Quantity", self.value.is_string() || self.value.is_number());
        let text = match self.value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return,
        };
        match quantity::error(&text) {
            Some(error) => self.report(Problem::Parse(error.to_owned())),
            None => self.store_as(json!(text)),
        }
    }

    /// Checks a point in time, which is stored in UTC.
    fn time(self, go_type: &str) {
        let Some(text) = self.value.as_str() else {
            // Go decodes the text before it parses the time.
            self.expect(if self.is_probe() { "v1.Time" } else { "string" }, false);
            return;
        };
        match time::canonical(text, go_type == "MicroTime") {
            Ok(text) => self.store_as(json!(text)),
            Err(error) => self.report(Problem::Parse(error)),
        }
    }
}

/// Access to the items of a list.
struct ItemAccess<'a> {
    list: Decoder<'a>,
    next: usize,
}

impl<'a> ItemAccess<'a> {
    /// Creates the access to the items of a list.
    fn new(list: Decoder<'a>) -> Self {
        Self { list, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for ItemAccess<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.list.value.get(self.next) else { return Ok(None) };
        let position = Position::Item { parent: self.list.position, index: self.next };
        self.next += 1;
        seed.deserialize(Decoder { value, position: &position, decoded: self.list.decoded }).map(Some)
    }
}

/// Access to the fields of a struct, or to the entries of a map.
///
/// The kind and API version of the object itself are left out: the path of the request names them.
struct EntryAccess<'a> {
    object: Decoder<'a>,
    /// Name of the struct; `None` for a map.
    structure: Option<&'static str>,
    entries: Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a>,
    current: Option<(&'a str, &'a Value)>,
}

impl<'a> EntryAccess<'a> {
    /// Creates the access to the entries of a value; there are none if it is not an object.
    fn new(object: Decoder<'a>, structure: Option<&'static str>) -> Self {
        let is_root = matches!(object.position, Position::Root);
        let entries = object.value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value));
        let entries = entries.filter(move |(key, _)| !is_root || !matches!(*key, "apiVersion" | "kind"));
        let lacks_time = structure == Some("Condition") && object.value.get(REQUIRED).is_none();
        let entries = entries.chain(lacks_time.then(|| (REQUIRED, &*EPOCH)));
        Self { object, structure, entries: Box::new(entries), current: None }
    }
}

impl<'de> MapAccess<'de> for EntryAccess<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.entries.next();
        self.current.map(|(key, _)| seed.deserialize(StrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self.current.take().ok_or_else(|| Error::custom("a value without a key"))?;
        let parent = self.object.position;
        let position = match self.structure {
            Some(structure) => Position::Field { parent, structure, name: key },
            None => Position::Key { parent, key },
        };
        seed.deserialize(Decoder { value, position: &position, decoded: self.object.decoded })
    }
}

/// Access to one imaginary item of a list or map, which determines the Go type of its items.
struct ProbeAccess<'a> {
    decoder: Decoder<'a>,
    is_done: bool,
}

impl<'de> SeqAccess<'de> for ProbeAccess<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !std::mem::replace(&mut self.is_done, true) {
            seed.deserialize(self.decoder)?;
        }
        Ok(None)
    }
}

impl<'de> MapAccess<'de> for ProbeAccess<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let is_first = !std::mem::replace(&mut self.is_done, true);
        is_first.then(|| seed.deserialize(StrDeserializer::new(""))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.decoder)
    }
}
