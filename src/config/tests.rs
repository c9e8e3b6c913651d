//! Configuration as operators meet it: defaults, layers, and what they are told when something is wrong.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, time::Duration};

use secrecy::ExposeSecret;
use toml_edit::{Document, Item, TableLike};

use super::{keys::keys, *};

const EXAMPLE: &str = include_str!("../../examples/tripline.toml");

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("tripline.toml"), toml).expect("a file");
        Folder(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("tripline.toml")
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Config, Vec<ConfigError>> {
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        load(Some(&self.file()), &Overrides::default(), environment)
    }

    /// The errors as shown, without the folder.
    fn errors(&self, environment: &[(&str, &str)]) -> Vec<String> {
        let errors = self.load(environment).expect_err("it is wrong");
        let folder = format!("{}/", self.0.path().display());
        errors.iter().map(|error| error.to_string().replace(&folder, "")).collect()
    }
}

fn errors(toml: &str) -> Vec<String> {
    Folder::with(toml).errors(&[])
}

#[track_caller]
fn assert_one(toml: &str, expected: &str) {
    let errors = errors(toml);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains(expected), "{:?} lacks {expected:?}", errors[0]);
}

fn nothing() -> Config {
    load(None, &Overrides::default(), std::iter::empty()).expect("defaults are fine")
}

#[test]
fn nothing_written_is_an_embedded_server_on_loopback() {
    let config = nothing();
    assert!(config.kafka.is_none());
    assert_eq!(config.local.data, Path::new("data"));
    assert_eq!(config.rules.path, Path::new("rules"));
    assert_eq!(config.http.listen, SocketAddr::from(([127, 0, 0, 1], 8686)));
    let inputs: Vec<_> = config.inputs.iter().map(|input| (&*input.name, &input.kind)).collect();
    let listen = SocketAddr::from(([127, 0, 0, 1], 5514));
    assert_eq!(inputs, [("http", &InputKind::Http), ("syslog", &InputKind::Syslog { listen })]);
    assert_eq!(config.inputs[0].lateness, Duration::from_secs(10));
    assert!(matches!(config.sinks[0].kind, SinkKind::Stdout { json: false }));
}

#[test]
fn the_environment_is_over_the_file_and_flags_are_over_both() {
    let folder = Folder::with("[log]\ndata = \"a\"\n[signals]\npartitions = 4\n[rules]\npath = \"r\"");
    let environment = [
        ("TRIPLINE__SIGNALS__PARTITIONS", "7"),
        ("TRIPLINE__KAFKA__BROKERS", "one:9092, two:9092"),
        ("TRIPLINE__KAFKA__PROPERTIES__FETCH_MIN_BYTES", "1024"),
        ("TRIPLINE__LOGGING__LEVEL", ""),
        ("PATH", "/bin"),
    ];
    let config = folder.load(&environment).expect("fine");
    assert_eq!(config.correlate.partitions, 7);
    let kafka = config.kafka.expect("brokers");
    assert_eq!(kafka.brokers, "one:9092,two:9092");
    assert_eq!(kafka.properties["fetch.min.bytes"], "1024");
    assert_eq!(config.local.data, folder.0.path().join("a"), "relative to the file");

    let overrides = Overrides { data: Some("b".into()), rules: None };
    let flagged = load(Some(&folder.file()), &overrides, std::iter::empty()).expect("fine");
    assert_eq!(flagged.local.data, Path::new("b"), "relative to where the user stands");
    assert_eq!(flagged.rules.path, folder.0.path().join("r"));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_the_remedy() {
    let toml = r#"[kafka]
brokrs = "localhost:9092"
[detect]
  commit_interval = 10
depth_max = 2.7
[[input]]
name = "a"
type = "flie"
[sinks]
[logging]
level = "inof"
"#;
    let errors = errors(toml);
    let expected = [
        "tripline.toml:1:1: [kafka] needs `brokers`",
        "tripline.toml:2:1: unknown key `brokrs` in [kafka]; did you mean `brokers`?",
        "tripline.toml:4:21: `commit_interval`: expected a duration such as \"250ms\", \"10s\", \"5m\" or \"7d\", found 10",
        "tripline.toml:5:13: `depth_max`: expected a whole number from 1 to 4294967295, found 2.7",
        "tripline.toml:8:8: `type`: unknown value \"flie\"; did you mean `file`?",
        "tripline.toml:9:2: unknown key `sinks` in the configuration; did you mean `sink`?",
        "tripline.toml:11:9: `level`: \"inof\" is no level",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error:?} does not start with {expected:?}");
    }
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let errors = Folder::with("").errors(&[
        ("TRIPLINE__DETECT__DEPTH_MAX", "many"),
        ("TRIPLINE__HTTP__LISTN", "127.0.0.1:1"),
        ("TRIPLINE__INPUT__NAME", "x"),
        ("TRIPLINE__RULES", "rules"),
    ]);
    let expected = [
        "environment variable TRIPLINE__DETECT__DEPTH_MAX: `depth_max`: expected a whole number",
        "environment variable TRIPLINE__HTTP__LISTN: unknown key `listn` in [http]; did you mean `listen`?",
        "environment variable TRIPLINE__INPUT__NAME: [[input]] tables come from the configuration file only",
        "environment variable TRIPLINE__RULES: `rules`: expected a table",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error:?} does not start with {expected:?}");
    }
}

#[test]
fn a_syntax_error_has_its_place_and_never_shows_the_line() {
    let errors = errors("[[sink]]\npassword = \"hunter2\nname = 'x'\n");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("tripline.toml:2:"), "{errors:?}");
    assert!(!errors[0].contains("hunter2"), "{errors:?}");
}

#[test]
fn a_missing_file_is_named() {
    let errors = load(Some(Path::new("/nowhere/t.toml")), &Overrides::default(), std::iter::empty()).unwrap_err();
    assert!(errors[0].to_string().starts_with("/nowhere/t.toml: can't be read:"));
}

#[test]
fn inputs_and_sinks_are_told_apart_by_name() {
    assert_one(
        "[[input]]\nname = \"a\"\ntype = \"http\"\n[[input]]\nname = \"a\"\ntype = \"http\"\n",
        "tripline.toml:5:8: an input named \"a\" is there already",
    );
    assert_one(
        "[[sink]]\nname = \"a\"\ntype = \"stdout\"\n[[sink]]\nname = \"a\"\ntype = \"stdout\"\n",
        "tripline.toml:5:8: a sink named \"a\" is there already",
    );
    assert_one("[[input]]\nname = \"alerts\"\ntype = \"http\"\n", "kept for chained rules");
    assert_one("[[input]]\nname = \"a b\"\ntype = \"http\"\n", "won't do as a name");
    assert_one("[[input]]\ntype = \"http\"\n", "[[input]] needs `name`");
}

#[test]
fn an_open_listener_is_refused_unless_it_is_said_to_be_meant() {
    assert_one("[http]\nlisten = \"0.0.0.0:8686\"\n", "tripline.toml:2:10: 0.0.0.0:8686 can be reached");
    assert_one("[syslog]\nlisten = \"[::]:5514\"\n", "allow_unauthenticated = true");
    assert_one("[[input]]\nname = \"s\"\ntype = \"syslog\"\nlisten = \"10.0.0.1:5514\"\n", "can be reached");
    let open = Folder::with("[http]\nlisten = \"0.0.0.0:8686\"\nallow_unauthenticated = true\n");
    assert!(open.load(&[]).is_ok());
}

#[test]
fn a_key_of_another_type_is_refused() {
    assert_one(
        "[[input]]\nname = \"a\"\ntype = \"http\"\ntopics = [\"t\"]\n",
        "tripline.toml:4:1: `topics` means nothing for type \"http\"",
    );
    assert_one("[syslog]\nlisten = \"127.0.0.1:1\"\n[[input]]\nname = \"a\"\ntype = \"http\"\n", "no [[input]] is of");
}

#[test]
fn what_an_input_needs_is_asked_for() {
    assert_one(
        "[[input]]\nname = \"a\"\ntype = \"kafka\"\ntopics = [\"t\"]\n",
        "[kafka] for input \"a\" needs `brokers`, for example \"localhost:9092\"",
    );
    assert_one("[[input]]\nname = \"a\"\ntype = \"file\"\n", "input \"a\" needs `paths`");
    assert_one("[[input]]\nname = \"a\"\ntype = \"http\"\ntimezone = \"Asia/Soul\"\n", "is no time zone");
    assert_one("[[input]]\nname = \"a\"\ntype = \"http\"\nyear = 12\n", "expected a year from 1678 to 2261");
    assert_one(
        "[[input]]\nname = \"a\"\ntype = \"http\"\n[[input.extract]]\nfeild = \"message\"\nregex = '(?<a>x)'\nfield = 'y'\n",
        "tripline.toml:5:1: unknown key `feild` in [[input.extract]]; did you mean `field`?",
    );
    assert_one(
        "[[input]]\nname = \"a\"\ntype = \"http\"\n[[input.extract]]\nfield = \"message\"\nregex = '(?<a.b>['\n",
        "tripline.toml:6:9: `regex`: regex",
    );
    assert_one(
        "[[input]]\nname = \"a\"\ntype = \"http\"\n[[input.extract]]\nwhen = 'a = b'\nfield = 'm'\nregex = '(?<a>.)'\n",
        "tripline.toml:5:8: `when`: when",
    );
    let twice = "[kafka]\nbrokers = \"b:1\"\n[[input]]\nname = \"a\"\ntype = \"kafka\"\ntopics = [\"t\", \"t\"]\n";
    assert_one(twice, "tripline.toml:6:16: an input with topic \"t\" is there already");
}

#[test]
fn mail_is_encrypted_unless_it_stays_on_the_machine() {
    let mail = |host: &str| {
        format!(
            "[[sink]]\nname = \"m\"\ntype = \"email\"\nhost = \"{host}\"\ntls = \"none\"\nfrom = \"a@b\"\nto = \"c@d\"\n"
        )
    };
    assert_one(&mail("smtp.example.com"), "tripline.toml:5:7: `tls`: mail to \"smtp.example.com\" would travel");
    let local = Folder::with(&mail("127.0.0.1")).load(&[]).expect("loopback");
    let SinkKind::Email(mail) = &local.sinks[0].kind else { panic!("e-mail") };
    assert_eq!((mail.port, &*mail.to), (25, &["c@d".to_owned()][..]));
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let toml = r#"
[kafka]
brokers = "b:9092"
[kafka.properties]
"sasl.password_file" = "secret"
security.protocol = "ssl"
[[sink]]
name = "hook"
type = "webhook"
url_file = "secret"
headers = { Authorization = "s3cr3t-header" }
"#;
    let folder = Folder::with(toml);
    fs::write(folder.0.path().join("secret"), "https://s3cr3t\n").expect("a file");
    let config = folder.load(&[]).expect("fine");
    let kafka = config.kafka.as_ref().expect("brokers");
    assert_eq!(kafka.properties["sasl.password"], "https://s3cr3t");
    assert_eq!(kafka.properties["security.protocol"], "ssl");
    let SinkKind::Webhook(hook) = &config.sinks[0].kind else { panic!("a webhook") };
    assert_eq!(hook.url.expose_secret(), "https://s3cr3t");
    assert!(!format!("{config:?}").contains("s3cr3t"));

    assert_one("[[sink]]\nname = \"h\"\ntype = \"webhook\"\nurl_file = \"gone\"\n", "`url_file`: can't read");
    let both = "[[sink]]\nname = \"h\"\ntype = \"webhook\"\nurl = \"http://s3cr3t\"\nurl_file = \"x\"\n";
    assert_one(both, "`url` and `url_file` say the same thing");
    let wrong = errors("[[sink]]\nname = \"h\"\ntype = \"webhook\"\nurl = [\"s3cr3t\"]\n");
    assert!(wrong.len() == 1 && !wrong[0].contains("s3cr3t"), "{wrong:?}");
}

/// The example with every key that is commented out put in force.
fn whole_example() -> String {
    let in_force = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with([' ', '#', '-']) => rest.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(in_force).collect::<Vec<_>>().join("\n")
}

/// Keys of the tables called `name`, wherever they stand in the document.
fn written_keys(document: &Document<String>, name: &[&str]) -> BTreeSet<String> {
    fn walk<'a>(tables: Vec<&'a dyn TableLike>, name: &str) -> Vec<&'a dyn TableLike> {
        let below = |table: &&'a dyn TableLike| match table.get(name) {
            Some(Item::ArrayOfTables(tables)) => tables.iter().map(|table| table as &dyn TableLike).collect(),
            Some(item) => item.as_table_like().into_iter().collect::<Vec<_>>(),
            None => Vec::new(),
        };
        tables.iter().flat_map(below).collect()
    }
    let tables = name.iter().fold(vec![document.as_table() as &dyn TableLike], |tables, name| walk(tables, name));
    tables.iter().flat_map(|table| table.iter().map(|(key, _)| key.to_owned())).collect()
}

#[test]
fn the_example_shows_every_key_and_no_other() {
    let document = Document::parse(whole_example()).expect("the example is TOML");
    let known: [(&[&str], &[&str]); 14] = [
        (&[], &sections::SECTIONS),
        (&["log"], keys::<written::Log>()),
        (&["kafka"], keys::<written::Kafka>()),
        (&["http"], keys::<written::Http>()),
        (&["syslog"], keys::<written::Syslog>()),
        (&["input"], keys::<written::Input>()),
        (&["input", "extract"], keys::<written::Extract>()),
        (&["rules"], keys::<written::Rules>()),
        (&["sink"], keys::<written::Sink>()),
        (&["notify"], keys::<written::Notify>()),
        (&["detect"], keys::<written::Detect>()),
        (&["signals"], keys::<written::Signals>()),
        (&["correlate"], keys::<written::Correlate>()),
        (&["supervisor"], keys::<written::Supervisor>()),
    ];
    for (name, known) in known.into_iter().chain([(&["logging"] as &[&str], keys::<written::Logging>())]) {
        let mut known: BTreeSet<String> = known.iter().map(|key| key.to_string()).collect();
        // A secret is shown as the file that holds it.
        known.retain(|key| !(name == ["sink"] && ["url", "password"].contains(&&**key)));
        assert_eq!(written_keys(&document, name), known, "in {name:?}");
    }
}

#[test]
fn the_example_as_it_stands_changes_nothing() {
    let folder = Folder::with(EXAMPLE);
    let shown = folder.load(&[]).expect("the example loads");
    let mut expected = nothing();
    expected.local.data = folder.0.path().join("data");
    expected.rules.path = folder.0.path().join("rules");
    assert_eq!(format!("{shown:?}"), format!("{expected:?}"));
}

#[test]
fn the_examples_values_are_the_defaults() {
    // What depends on the machine, has no default or must not repeat is taken out; files that it names are put there.
    let secret = |line: &str| line.contains("/run/secrets/") || line.contains("/etc/ssl/");
    let machine = |line: &str| {
        let taken =
            ["events_partitions", "instance =", "year =", "severity_min", "states =", "geo =", "asn =", "pipelines ="];
        taken.iter().any(|key| line.starts_with(key)) || secret(line)
    };
    let whole = whole_example();
    let kept: Vec<&str> = whole.lines().filter(|line| !machine(line)).collect();
    let kept = kept.join("\n").replace("[[sink]]\nname = \"chat\"", "[[sink]]\nurl = \"http://a\"\nname = \"chat\"");
    let needed = "[kafka]\nbrokers = 'localhost:9092'\n[kafka.properties]\n'security.protocol' = ''\n'sasl.mechanism' = ''\n'sasl.username' = ''
        [[input]]\nname = 'http'\ntype = 'http'
        [[input.extract]]\nwhen = 'process.name == \"vpnd\"'\nfield = 'message'\nregex = 'login of (?<user.name>\\S+) from (?<source.ip>\\S+)'
        [[input]]\nname = 'syslog'\ntype = 'syslog'
        [[input]]\nname = 'auth'\ntype = 'file'\npaths = '/var/log/auth.log'
        [[input]]\nname = 'cloud'\ntype = 'kafka'\ntopics = 'cloudtrail'
        [[sink]]\nname = 'stdout'\ntype = 'stdout'
        [[sink]]\nname = 'archive'\ntype = 'file'\npath = 'alerts.ndjson'
        [[sink]]\nname = 'bus'\ntype = 'kafka'\ntopic = 'security-alerts'\nbrokers = 'localhost:9092'\nproperties = { 'compression.type' = '' }
        [[sink]]\nname = 'chat'\ntype = 'webhook'\nurl = 'http://a'
        [[sink]]\nname = 'oncall'\ntype = 'email'\nhost = 'smtp.example.com'\nusername = 'tripline'\nfrom = 'tripline@example.com'\nto = 'soc@example.com'";
    let (shown, expected) = (Folder::with(&kept), Folder::with(needed));
    let debug = |folder: &Folder| {
        let config = folder.load(&[]).unwrap_or_else(|errors| panic!("{errors:#?}"));
        format!("{config:#?}").replace(&folder.0.path().display().to_string(), "")
    };
    assert_eq!(debug(&shown), debug(&expected));
}

#[test]
fn rules_are_pushed_to_brokers_alone() {
    let brokers = "[kafka]\nbrokers = [\"a:1\"]\n";
    let source = |toml: &str| Folder::with(toml).load(&[]).expect("it is right").rules.source;
    assert_eq!(source(&format!("{brokers}[rules]\nsource = \"topic\"\n")), RulesSource::Topic);
    assert_eq!(source(brokers), RulesSource::Path);
    assert_one("[rules]\nsource = \"topic\"\n", "[kafka] names no brokers");
    assert_one("[rules]\nsource = \"topc\"\n", "`topic`");
}

#[test]
fn state_of_others_is_followed_only_when_asked_and_on_kafka() {
    let brokers = "[kafka]\nbrokers = \"b:9092\"\n";
    let standby = |toml: &str| {
        let Correlate { standby, standby_bytes_max, .. } = Folder::with(toml).load(&[]).expect("it is right").correlate;
        (standby, standby_bytes_max)
    };
    assert_eq!(standby(brokers), (false, 1 << 30));
    let written = format!("{brokers}[correlate]\nstandby = true\nstandby_bytes_max = \"64MiB\"\n");
    assert_eq!(standby(&written), (true, 64 << 20));
    assert_one("[correlate]\nstandby = true\n", "tripline.toml:2:11: `standby`: ");
    assert_one("[correlate]\nstandby = true\n", "[kafka] names no brokers");
}
