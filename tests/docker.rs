//! The containers' files, as far as they can be held to their word without an engine: the compose file is valid, and
//! everything that it and the Dockerfile name is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tripline::config::{self, EmailTls, Overrides, SinkKind};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose() -> Value {
    serde_yaml_ng::from_str(&text("docker/compose.yml")).expect("docker/compose.yml is YAML")
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().expect("services").iter()
}

#[test]
fn the_compose_file_follows_the_compose_specification() {
    let mut schema: Value = serde_json::from_str(&text("tests/data/compose-spec.json")).expect("the schema is JSON");
    // It names its draft by an address that is not the draft's own, and that would be looked up.
    schema.as_object_mut().expect("an object").remove("$schema");
    let validator =
        jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema).expect("the schema is valid");
    let compose = compose();
    let wrong: Vec<String> =
        validator.iter_errors(&compose).map(|error| format!("{}: {error}", error.instance_path)).collect();
    assert!(wrong.is_empty(), "docker/compose.yml: {wrong:#?}");

    let mut broken = compose;
    broken["services"]["kafka"]["port"] = "9092".into();
    assert!(!validator.is_valid(&broken), "the schema would not notice a misspelt key");
}

#[test]
fn everything_that_the_compose_file_mounts_or_builds_from_is_there() {
    let compose = compose();
    let docker = root().join("docker");
    let mut checked = 0;
    for (name, service) in services(&compose) {
        if let Some(build) = service.get("build") {
            let context = docker.join(build["context"].as_str().expect("a context"));
            assert!(context.join("Cargo.toml").is_file(), "{name}: {}", context.display());
            assert!(context.join(build["dockerfile"].as_str().expect("a file")).is_file(), "{name}: its Dockerfile");
            checked += 1;
        }
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let source = mount.as_str().and_then(|mount| mount.split(':').next()).expect("short syntax");
            if source.starts_with('.') {
                assert!(docker.join(source).exists(), "{name} mounts {source}, which is not there");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name} mounts {source}, which is not declared");
            }
            checked += 1;
        }
    }
    assert!(checked >= 4, "nothing was checked");
}

#[test]
fn everything_that_the_dockerfile_copies_is_there() {
    let dockerfile = text("docker/Dockerfile");
    let copied: Vec<PathBuf> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|arguments| !arguments.starts_with("--from"))
        .map(|arguments| root().join(arguments.split(' ').next().expect("a source")))
        .collect();
    assert!(copied.len() >= 4, "{copied:?}");
    for source in copied {
        assert!(source.exists(), "the Dockerfile copies {}, which is not there", source.display());
    }
    assert!(dockerfile.contains("\nUSER 10001\n"), "it must not run as root");
}

#[test]
fn the_composed_configuration_loads_and_fits_the_compose_file() {
    let path = root().join("docker/tripline.toml");
    let config = config::load(Some(&path), &Overrides::default(), std::iter::empty())
        .unwrap_or_else(|errors| panic!("docker/tripline.toml: {errors:#?}"));
    let compose = compose();
    let brokers = config.kafka.expect("it is for Kafka").brokers;
    let inside = compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].as_str();
    assert!(inside.is_some_and(|listeners| listeners.contains(&format!("INSIDE://{brokers}"))), "{brokers}");

    let ports = compose["services"]["tripline"]["ports"].as_array().expect("ports");
    let published = format!("127.0.0.1:{0}:{0}", config.http.listen.port());
    assert!(ports.iter().any(|port| port == &published), "{published} is not published");
    assert!(ports.iter().all(|port| port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:"))), "{ports:?}");

    let mail = config.sinks.iter().find_map(|sink| match &sink.kind {
        SinkKind::Email(email) => Some(email),
        _ => None,
    });
    let mail = mail.expect("a mail sink");
    assert!(mail.host == "127.0.0.1" && mail.tls == EmailTls::None, "mail without TLS goes to loopback only");
    assert_eq!(compose["services"]["mail"]["network_mode"], "service:tripline", "so the mailbox is on that loopback");
}

#[test]
fn the_composed_broker_is_of_the_version_that_the_tests_run_against() {
    let compose = compose();
    let image = compose["services"]["kafka"]["image"].as_str().expect("an image");
    let version = image.strip_prefix("apache/kafka:").expect("Apache Kafka's own image");
    assert!(text("tests/kafka/pom.xml").contains(&format!("<version>{version}</version>")), "{version}");
}

/// What the script would run on a system that has nothing, by that system's own description.
fn packages_for(system: &str) -> (bool, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let description = dir.path().join("os-release");
    fs::write(&description, format!("ID={system}\n")).expect("the description");
    for tool in ["sed", "id", "cat"] {
        let there = ["/usr/bin", "/bin"].iter().map(|bin| Path::new(bin).join(tool)).find(|path| path.exists());
        std::os::unix::fs::symlink(there.expect("a tool of every system"), dir.path().join(tool)).expect("a link");
    }
    let output = Command::new("/bin/sh")
        .arg(root().join("docker/install-packages.sh"))
        .args(["--tests", "--print"])
        .env("PATH", dir.path())
        .env("OS_RELEASE", &description)
        .output()
        .expect("the script runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_package_script_knows_the_systems_that_it_names() {
    let wanted = [
        ("debian", "apt-get install", "bash gcc g++ make pkg-config libssl-dev zlib1g-dev maven"),
        ("fedora", "dnf install", "bash gcc gcc-c++ make openssl-devel zlib-devel java-21-openjdk-headless maven"),
        ("alpine", "apk add", "bash gcc g++ musl-dev make openssl-dev zlib-dev openjdk21-jre-headless maven"),
    ];
    for (system, installer, packages) in wanted {
        let (fine, said) = packages_for(system);
        assert!(fine && said.contains(installer), "{system}: {said}");
        let named: Vec<&str> = said.split_whitespace().collect();
        for package in packages.split(' ') {
            assert!(named.contains(&package), "{system} lacks {package}: {said}");
        }
    }
}

#[test]
fn the_package_script_names_what_is_missing_on_an_unknown_system() {
    let (fine, said) = packages_for("plan9");
    assert!(!fine && said.contains("c-compiler") && said.contains("java-17") && said.contains("not known"), "{said}");
}
