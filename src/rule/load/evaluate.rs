//! Evaluating a rule file: what its calls of `rule` declare.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rhai::{
    AST, Array, Dynamic, Engine, EvalAltResult, INT, ImmutableString, Map, Module, ModuleResolver, NativeCallContext,
    ParseError, ParseErrorType, Position, Scope, Shared,
};

use crate::rule::{
    Diagnostic, Level, ScriptLimits,
    data::{Data, StepData},
    declare::Declared,
    engine,
    reference::Reference,
    script::Failure,
    source::{self, Source, is_library},
    token::written,
};

/// Imports inside imports.
const IMPORT_DEPTH_MAX: usize = 16;

/// Evaluates files one after the other.
pub(super) struct Evaluator<'a> {
    engine: Engine,
    declared: Arc<Mutex<Vec<Declared>>>,
    sources: &'a BTreeMap<PathBuf, Source>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new<'b>(
        limits: &ScriptLimits,
        fields: impl Iterator<Item = &'b str>,
        sources: &'a BTreeMap<PathBuf, Source>,
        unparsed: &BTreeSet<PathBuf>,
        reference: &Arc<Reference>,
    ) -> Self {
        let mut engine = engine::runner(limits, limits.load_operations, fields, reference);
        let declared: Arc<Mutex<Vec<Declared>>> = Arc::default();
        let imports = Imports::new(sources, unparsed);
        register_rule(&mut engine, declared.clone(), imports.active.clone(), limits.rules);
        register_steps(&mut engine);
        engine.set_module_resolver(imports);
        Evaluator { engine, declared, sources }
    }

    /// The rules that the file declares; none when it fails.
    pub(super) fn evaluate(&self, path: &Path, source: &Source) -> (Vec<Declared>, Vec<Diagnostic>) {
        lock(&self.declared).clear();
        let result = self.engine.run_ast_with_scope(&mut Scope::new(), &source.ast);
        let declared = std::mem::take(&mut *lock(&self.declared));
        match result {
            Ok(()) => (declared, Vec::new()),
            Err(error) => (Vec::new(), vec![self.failure(path, source, *error)]),
        }
    }

    fn failure(&self, path: &Path, source: &Source, error: EvalAltResult) -> Diagnostic {
        let failure = Failure::of(error, &path.display().to_string(), &self.engine);
        // The place is in the file that was evaluated, also where a function of an imported one failed: that file
        // lost its rules.
        if Path::new(&failure.file) != path
            && let Some(other) = self.sources.get(Path::new(&failure.file))
        {
            let at = other.place(failure.position);
            let message = format!("{} ({}:{}:{})", failure.reason, failure.file, at.line, at.column);
            return source.diagnostic(Level::Error, "script", Position::NONE, message);
        }
        source.diagnostic(Level::Error, "script", failure.position, failure.reason)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register_rule(
    engine: &mut Engine,
    declared: Arc<Mutex<Vec<Declared>>>,
    importing: Arc<Mutex<Vec<PathBuf>>>,
    rules_max: usize,
) {
    engine.register_fn("rule", move |context: NativeCallContext, map: Map| {
        if !lock(&importing).is_empty() {
            return Err(error_of("files under `lib/` declare no rules", context.call_position()));
        }
        let mut declared = lock(&declared);
        if declared.len() >= rules_max {
            return Err(error_of(&format!("a file declares at most {rules_max} rules"), context.call_position()));
        }
        let mut global = context.global_runtime_state().clone();
        (global.num_operations, global.level, global.scope_level) = (0, 0, 0);
        declared.push(Declared {
            data: Data::of_map(&map),
            position: context.call_position(),
            global: Arc::new(global),
        });
        Ok(())
    });
    engine.register_fn("rule", |context: NativeCallContext, other: Dynamic| {
        let message = format!("`rule` takes a map `#{{…}}`, not {}", Data::of(&other).kind());
        Err::<(), _>(error_of(&message, context.call_position()))
    });
}

fn register_steps(engine: &mut Engine) {
    engine.register_type_with_name::<StepData>("step");
    engine.register_fn("times", |n: INT, pattern: &str| StepData::Times { n, pattern: pattern.to_owned() });
    engine.register_fn("none", |pattern: &str| StepData::None(pattern.to_owned()));
    for count in 1..=16 {
        let types = vec![std::any::TypeId::of::<ImmutableString>(); count];
        engine.register_raw_fn("any", &types, |_, arguments| {
            Ok(StepData::Any(arguments.iter().map(|argument| argument.to_string()).collect()))
        });
    }
    engine.register_fn("any", |patterns: Array| {
        StepData::Any(patterns.iter().map(|pattern| pattern.to_string()).collect())
    });
}

fn error_of(reason: &str, position: Position) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(reason.to_owned().into(), position))
}

/// Finds imports among the files that were given, and nowhere else.
struct Imports {
    files: HashMap<PathBuf, AST>,
    unparsed: BTreeSet<PathBuf>,
    ready: Mutex<HashMap<PathBuf, Shared<Module>>>,
    /// The files that are being imported, outermost first.
    active: Arc<Mutex<Vec<PathBuf>>>,
}

impl Imports {
    fn new(sources: &BTreeMap<PathBuf, Source>, unparsed: &BTreeSet<PathBuf>) -> Self {
        let libraries = sources.iter().filter(|(path, _)| is_library(path));
        Imports {
            files: libraries.map(|(path, source)| (path.clone(), source.ast.clone())).collect(),
            unparsed: unparsed.clone(),
            ready: Mutex::default(),
            active: Arc::default(),
        }
    }

    fn find(&self, import: &str) -> Option<(&PathBuf, &AST)> {
        let exact = self.files.get_key_value(Path::new(import));
        exact.or_else(|| self.files.get_key_value(Path::new(&format!("{import}.rhai"))))
    }
}

impl ModuleResolver for Imports {
    fn resolve(
        &self,
        engine: &Engine,
        _source: Option<&str>,
        import: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let Some((path, ast)) = self.find(import) else {
            if [import.to_owned(), format!("{import}.rhai")].iter().any(|name| self.unparsed.contains(Path::new(name)))
            {
                return Err(error_of(&format!("`{import}` has errors"), position));
            }
            let mut names: Vec<_> =
                self.files.keys().map(|path| path.with_extension("").display().to_string()).collect();
            names.sort();
            let known =
                if names.is_empty() { "there is none".to_owned() } else { format!("there is {}", names.join(", ")) };
            return Err(error_of(&format!("no file `{import}.rhai` under `lib/`: {known}"), position));
        };
        if let Some(module) = lock(&self.ready).get(path) {
            return Ok(module.clone());
        }
        {
            let mut active = lock(&self.active);
            if active.contains(path) || active.len() >= IMPORT_DEPTH_MAX {
                return Err(error_of(&format!("`{import}` is imported in a circle, or too deep"), position));
            }
            active.push(path.clone());
        }
        let module = Module::eval_ast_as_new(Scope::new(), ast, engine);
        lock(&self.active).pop();
        let module: Shared<Module> = module?.into();
        lock(&self.ready).insert(path.clone(), module.clone());
        Ok(module)
    }
}

/// A file that does not parse.
pub(super) fn parse_error(path: &Path, text: &str, error: &ParseError) -> Diagnostic {
    let message = written(&error.err_type().to_string()).into_owned();
    let help = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => {
            Some(format!("`{name}` is not defined; a field with other signs than letters is read as `e[\"a-b\"]`"))
        }
        ParseErrorType::Reserved(name) => Some(format!("Rhai reserves `{name}`: as a key, write it in quotes")),
        ParseErrorType::ExprTooDeep => Some("split it into functions".to_owned()),
        _ => None,
    };
    let code = "syntax";
    let place = source::place(path, error.position());
    let line = text.lines().nth(place.line - 1).unwrap_or_default();
    Diagnostic { help, ..source::diagnostic(line, Level::Error, code, place, message) }
}
