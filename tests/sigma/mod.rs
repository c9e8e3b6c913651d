//! Sigma: what the specification says, asked of the engine and of an evaluator that shares nothing with it.

mod cases;
mod converted;
mod data;
mod differential;
mod engine;
mod generate;
mod naive;
mod naive_public;
mod public;
