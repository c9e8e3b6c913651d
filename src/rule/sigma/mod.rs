//! Sigma rules: YAML documents (specification v2.1) that load beside Rhai rules.
//!
//! Text becomes a typed tree with the place of every part: [`document`] (what kind, what it says of itself),
//! [`detection`] and [`condition`] (what a rule looks for), [`logsource`] (in which events). What changes rules changes
//! this tree ([`rule::DetectionRule`]); only then is it lowered to a [`crate::rule::Predicate`]. It knows neither Rhai
//! nor the matcher. [`filter`]s change the tree of rules that they name; [`correlation`]s are rules over what others find.

mod condition;
mod correlation;
mod detection;
mod document;
mod filter;
mod load;
mod logsource;
mod lower;
mod modifier;
mod report;
mod rule;
mod sources;
#[cfg(test)]
mod tests;
mod value;
mod windows;
mod yaml;

pub use load::SigmaOptions;
pub(super) use load::{SigmaLoaded, is_sigma, load};
