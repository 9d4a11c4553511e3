//! Expansion of words to arguments, patterns and values.

mod field;
mod parameter;
mod path;
mod word;
