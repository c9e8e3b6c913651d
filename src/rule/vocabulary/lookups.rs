//! Functions that look a field up: in lists, and in databases of addresses.

use std::sync::Arc;

use rhai::{Engine, EvalAltResult, ImmutableString};

use super::functions::error_of;
use crate::{
    event::Value,
    rule::{List, enrichment::Lookup, field::Field, reference::Reference},
};

pub(super) fn register(engine: &mut Engine, reference: &Arc<Reference>) {
    let of_field = reference.clone();
    engine.register_fn("in_list", move |field: &mut Field, name: ImmutableString| {
        let list = list(&of_field, &name)?;
        Ok::<_, Box<EvalAltResult>>(field.any_text(&mut |text| list.contains(text)))
    });
    [Lookup::Geo, Lookup::Asn].into_iter().for_each(|lookup| register_enrichment(engine, reference, lookup));
    let of_text = reference.clone();
    engine.register_fn("in_list", move |text: ImmutableString, name: ImmutableString| {
        Ok::<_, Box<EvalAltResult>>(list(&of_text, &name)?.contains(&text))
    });
}

fn register_enrichment(engine: &mut Engine, reference: &Arc<Reference>, lookup: Lookup) {
    let of_field = reference.enrichment.directory(lookup);
    let of_text = of_field.clone();
    engine.register_fn(lookup.name(), move |field: &mut Field| field.look_up(&|text| of_field.look_up(text)));
    engine.register_fn(lookup.name(), move |text: ImmutableString| {
        Field::result(Some(Value::text(text))).look_up(&|text| of_text.look_up(text))
    });
}

fn list<'a>(reference: &'a Reference, name: &str) -> Result<&'a Arc<List>, Box<EvalAltResult>> {
    reference.lists.get(name).ok_or_else(|| error_of(format!("no list is called `{name}`")))
}
