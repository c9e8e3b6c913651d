//! The Rhai engines that rules load and run on: the language that they offer, and the limits that stop a script.
//!
//! A script has no files, clock, randomness, output or `eval`, whatever it is called by.

use std::sync::Arc;

use rhai::{
    Engine, OptimizationLevel,
    packages::{
        ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
        BasicStringPackage, LogicPackage, MoreStringPackage, Package,
    },
};

use super::{reference::Reference, token::Tokens, vocabulary};

/// [`ScriptLimits::items`] unless it is said otherwise.
pub(super) const ITEMS_MAX: usize = 10_000;

/// What a script may use up before it is stopped. The same in every build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Operations of one call of a closure.
    pub call_operations: u64,
    /// Operations of evaluating one rule file.
    pub load_operations: u64,
    /// Calls inside calls.
    pub call_levels: usize,
    /// Expressions inside expressions, where a file is parsed.
    pub parse_depth: usize,
    /// Expressions inside expressions, where a closure or function runs: with `call_levels` this bounds the stack.
    pub run_depth: usize,
    /// Bytes of a text, or of all texts in one value.
    pub text_bytes: usize,
    /// Elements of an array or map.
    pub items: usize,
    pub variables: usize,
    pub functions: usize,
    /// Imports of one file.
    pub modules: usize,
    /// Bytes of a rule file.
    pub file_bytes: usize,
    pub rules: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        ScriptLimits {
            call_operations: 20_000,
            load_operations: 20_000_000,
            call_levels: 12,
            parse_depth: 1_000,
            run_depth: 40,
            text_bytes: 1 << 20,
            items: ITEMS_MAX,
            variables: 128,
            functions: 10_000,
            modules: 64,
            file_bytes: 1 << 20,
            rules: 20_000,
        }
    }
}

/// An engine that only parses.
pub(super) fn parser(limits: &ScriptLimits, tokens: &Tokens) -> Engine {
    let mut engine = bare(limits);
    tokens.attach(&mut engine, limits.run_depth);
    engine
}

/// An engine that evaluates rule files (`operations` = [`ScriptLimits::load_operations`]) or calls their closures.
/// `fields` are the names that stand after dots in them, `reference` what they can look things up in.
pub(super) fn runner<'a>(
    limits: &ScriptLimits,
    operations: u64,
    fields: impl Iterator<Item = &'a str>,
    reference: &Arc<Reference>,
) -> Engine {
    let mut engine = bare(limits);
    engine.set_max_operations(operations);
    ArithmeticPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    vocabulary::register(&mut engine, fields, reference);
    engine
}

fn bare(limits: &ScriptLimits) -> Engine {
    let mut engine = Engine::new_raw();
    engine
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        .set_max_expr_depths(limits.parse_depth, limits.parse_depth)
        .set_max_call_levels(limits.call_levels)
        .set_max_string_size(limits.text_bytes)
        .set_max_array_size(limits.items)
        .set_max_map_size(limits.items)
        .set_max_variables(limits.variables)
        .set_max_functions(limits.functions)
        .set_max_modules(limits.modules);
    engine.on_print(|_| {}).on_debug(|_, _, _| {});
    engine
}
