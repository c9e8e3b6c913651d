//! Sigma rules: YAML documents (specification v2.1) that load beside Rhai rules.
//!
//! Text becomes a typed tree with the place of every part: [`document`] (what kind, what it says of itself),
//! [`detection`] and [`condition`] (what a rule looks for), [`logsource`] (in which events). What changes rules changes
//! this tree; only then is it lowered to a [`crate::rule::Predicate`]. It knows neither Rhai nor the matcher.

pub mod condition;
pub mod detection;
pub mod document;
pub mod logsource;
pub mod modifier;
pub mod report;
pub mod value;
pub mod yaml;
