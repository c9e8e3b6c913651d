//! `tripline init`: a commented configuration and one tested rule to start from.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::{args::InitArgs, output::Output};

/// The configuration, a rule, and what the rule imports.
const FILES: [(&str, &str); 4] = [
    ("tripline.toml", include_str!("../../examples/tripline.toml")),
    ("rules/ssh_brute_force_success.rhai", include_str!("../../rules/linux/ssh_brute_force_success.rhai")),
    ("rules/lib/known.rhai", include_str!("../../rules/lib/known.rhai")),
    ("rules/lib/ssh.rhai", include_str!("../../rules/lib/ssh.rhai")),
];

pub fn run(args: &InitArgs) -> Result<u8> {
    let taken = FILES.iter().map(|(name, _)| args.dir.join(name)).find(|path| path.exists());
    if let Some(path) = taken {
        bail!("{} is there already; nothing was written", path.display());
    }
    for (name, text) in FILES {
        write_new(&args.dir.join(name), text)?;
    }
    let shown = |name: &str| args.dir.join(name).strip_prefix(".").map_or_else(|_| args.dir.join(name), Into::into);
    let (config, rules) = (shown("tripline.toml"), shown("rules"));
    let (config, rules) = (config.display(), rules.display());
    let mut out = Output::stdout();
    out.line(format_args!(
        "Wrote the configuration {config} and the rules in {rules}.\n\n\
         Next:\n  \
         tripline test {rules}\n  \
         tripline replay --rules {rules} --input /var/log/auth.log\n  \
         tripline run --config {config}"
    ))?;
    out.finish()?;
    Ok(0)
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let named = || path.display().to_string();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{}: can't be created", folder.display()))?;
    }
    match File::create_new(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).with_context(named),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("{} is there already", path.display()),
        Err(error) => Err(error).with_context(named),
    }
}
