//! The words that closures have beside Rhai's own: operators and functions on fields.
//!
//! Every operator and test is registered for a field beside a field and beside each kind of literal, in both orders.

mod functions;
mod lookups;
mod operators;

use std::sync::Arc;

use rhai::Engine;

pub(super) use functions::{FUNCTIONS, Function, Gives, STANDARD, regex};

use super::{reference::Reference, window_script, written};

pub(super) fn register<'a>(engine: &mut Engine, fields: impl Iterator<Item = &'a str>, reference: &Arc<Reference>) {
    operators::register(engine);
    functions::register(engine);
    lookups::register(engine, reference);
    window_script::register(engine);
    written::register(engine);
    engine.register_type_with_name::<super::field::Field>("field");
    for name in fields {
        operators::register_name(engine, name);
        window_script::register_name(engine, name);
    }
}
