//! `tripline init`: a commented configuration and one tested rule to start from.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::args::InitArgs;

const CONFIGURATION: &str = include_str!("../../examples/tripline.toml");
const RULE: &str = include_str!("../../rules/linux/ssh_brute_force_success.rhai");

pub fn run(args: &InitArgs) -> Result<u8> {
    let files = [("tripline.toml", CONFIGURATION), ("rules/ssh_brute_force_success.rhai", RULE)];
    let taken = files.iter().map(|(name, _)| args.dir.join(name)).find(|path| path.exists());
    if let Some(path) = taken {
        bail!("{} is there already; nothing was written", path.display());
    }
    for (name, text) in files {
        write_new(&args.dir.join(name), text)?;
    }
    let dir = args.dir.display();
    println!(
        "Wrote {dir}/tripline.toml and {dir}/rules/ssh_brute_force_success.rhai\n\n\
         Next:\n  \
         tripline test {dir}/rules\n  \
         tripline replay --rules {dir}/rules --input /var/log/auth.log\n  \
         tripline run --config {dir}/tripline.toml"
    );
    Ok(0)
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let named = || path.display().to_string();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(named)?;
    }
    match File::create_new(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).with_context(named),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("{} is there already", path.display()),
        Err(error) => Err(error).with_context(named),
    }
}
