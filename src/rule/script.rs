//! A closure that can be called: with limits, and with errors that name their place.

use std::{path::Path, sync::Arc};

use rhai::{
    Caches, Dynamic, Engine, EvalAltResult, FnPtr, GlobalRuntimeState, ImmutableString, NativeCallContext, Position,
    Scope, Stmt,
};

use super::token;

/// A script stopped at a limit or failed; the event counts as not matching.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ScriptError {
    /// `file:line:column`
    pub place: String,
    pub reason: String,
}

/// A closure with what it needs to run: the functions and imports of its file and the values that it captured.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) engine: Arc<Engine>,
    /// As it was when the file had been evaluated; no operations counted.
    pub(super) global: Arc<GlobalRuntimeState>,
    pub(super) closure: FnPtr,
    pub(super) file: Arc<Path>,
    pub(super) position: Position,
}

impl Script {
    pub(super) fn call(&self, argument: Dynamic) -> Result<Dynamic, ScriptError> {
        let context = NativeCallContext::new_with_all_fields(
            &self.engine,
            self.closure.fn_name(),
            None,
            &self.global,
            self.position,
        );
        self.closure.call_raw(&context, None, [argument]).map(Dynamic::flatten).map_err(|error| self.describe(*error))
    }

    /// Calls it with something that the functions in it find: [`NativeCallContext::tag`].
    pub(super) fn call_tagged(&self, argument: Dynamic, tag: Dynamic) -> Result<Dynamic, ScriptError> {
        let mut global = (*self.global).clone();
        global.tag = tag;
        Script { global: Arc::new(global), ..self.clone() }.call(argument)
    }

    pub(super) fn error(&self, reason: String) -> ScriptError {
        ScriptError { place: place(&self.file.display().to_string(), self.position), reason }
    }

    /// The answer of a predicate.
    pub(super) fn truth(&self, result: Dynamic) -> Result<bool, ScriptError> {
        result
            .as_bool()
            .map_err(|_| self.error(format!("the closure answered {}, not true or false", self.type_name(&result))))
    }

    /// What kind of value that is, in the author's words.
    pub(super) fn type_name(&self, value: &Dynamic) -> String {
        match value.type_name() {
            "()" => "nothing".to_owned(),
            name => format!("a value of type {}", self.engine.map_type_name(name)),
        }
    }

    fn describe(&self, error: EvalAltResult) -> ScriptError {
        let file = self.file.display().to_string();
        let failure = Failure::of(error, &file, &self.engine);
        let position = if failure.position.is_none() { self.position } else { failure.position };
        ScriptError { place: place(&failure.file, position), reason: failure.reason }
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("file", &self.file).field("position", &self.position).finish_non_exhaustive()
    }
}

/// A part of a closure's body, run by itself with the variables around it. `script` is the closure: its file,
/// functions and imports, and the place to report.
#[derive(Clone)]
pub(super) struct Fragment {
    pub(super) script: Script,
    pub(super) statements: Arc<[Stmt]>,
}

impl Fragment {
    /// What it gives.
    pub(super) fn run(
        &self,
        variables: impl Iterator<Item = (ImmutableString, Dynamic)>,
    ) -> Result<Dynamic, ScriptError> {
        let mut scope = Scope::new();
        for (name, value) in variables {
            scope.push_dynamic(name, value);
        }
        let mut global = (*self.script.global).clone();
        // The syntax tree finds variables by their distance in the scope of the whole closure.
        global.always_search_scope = true;
        #[expect(deprecated, reason = "Rhai has no other way to run statements that are parsed")]
        let result =
            self.script.engine.eval_statements_raw(&mut global, &mut Caches::new(), &mut scope, &self.statements);
        result.map(Dynamic::flatten).map_err(|error| self.script.describe(*error))
    }

    pub(super) fn test(
        &self,
        variables: impl Iterator<Item = (ImmutableString, Dynamic)>,
    ) -> Result<bool, ScriptError> {
        self.script.truth(self.run(variables)?)
    }
}

impl std::fmt::Debug for Fragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fragment").field("script", &self.script).field("statements", &self.statements).finish()
    }
}

fn place(file: &str, position: Position) -> String {
    format!("{file}:{}:{}", position.line().unwrap_or(1), position.position().unwrap_or(1))
}

/// An error of Rhai in the author's words, with its innermost place.
pub(super) struct Failure {
    pub(super) file: String,
    pub(super) position: Position,
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn of(error: EvalAltResult, file: &str, engine: &Engine) -> Self {
        let mut error = error;
        let mut file = file.to_owned();
        let mut outer = Position::NONE;
        loop {
            let position = error.position();
            match error {
                EvalAltResult::ErrorInFunctionCall(_, source, inner, _) => {
                    if !source.is_empty() {
                        file = source;
                    }
                    error = *inner;
                }
                EvalAltResult::ErrorInModule(source, inner, _) => {
                    if !source.is_empty() {
                        file = source;
                    }
                    error = *inner;
                }
                error => {
                    let position = if position.is_none() { outer } else { position };
                    return Failure { file, position, reason: reason(error, engine) };
                }
            }
            outer = if position.is_none() { outer } else { position };
        }
    }
}

/// What went wrong; of a limit, which and how much.
fn reason(mut error: EvalAltResult, engine: &Engine) -> String {
    let _ = error.take_position();
    let text = match &error {
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("the script was stopped: more than {} operations", engine.max_operations())
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            format!("the script was stopped: calls nest deeper than {}", engine.max_call_levels())
        }
        EvalAltResult::ErrorTooManyVariables(_) => {
            format!("the script was stopped: more than {} variables", engine.max_variables())
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => format!(
            "the script was stopped: {} is too large (texts up to {} bytes, lists and maps up to {} items)",
            what.to_lowercase().trim_end_matches("/blob"),
            engine.max_string_size(),
            engine.max_array_size()
        ),
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            format!("no function {}", signature.replace("&str | ImmutableString | String", "text"))
        }
        error => error.to_string(),
    };
    token::written(&text).into_owned()
}
