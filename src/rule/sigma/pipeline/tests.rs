//! What pipelines make of rules, and what they refuse.

use std::path::Path;

use super::*;
use crate::rule::{
    Diagnostic,
    sigma::{
        detection::{Detection, Value},
        document,
        report::SigmaFile,
        sources::only_document,
    },
};

/// The pipeline of a text, and what is found in it.
fn read(text: &str) -> (Option<Pipeline>, Vec<Diagnostic>) {
    let file = SigmaFile::new(Path::new("p.yml"), text);
    let mut report = Report::new(&file);
    let pipeline = Pipeline::read(&only_document(text).expect("YAML"), &mut report);
    (pipeline, report.found)
}

fn built_in(name: &str) -> Pipeline {
    read(BuiltIn::named(name).expect("a name").text).0.expect("a pipeline")
}

const RULE: &str = "title: A\nid: 1\nlevel: high\ntags: [attack.t1059]\nfields: [Image, User]\n\
    logsource: {product: windows, category: process_creation}\ndetection:\n  s:\n    Image|endswith: '\\cmd.exe'\n    \
    User: [Ann, '%admins%']\n  f:\n    - Company: null\n    - Company|fieldref: User\n  condition: s and not f\n";

/// A pipeline of these steps, indented by nothing.
fn pipeline(steps: &str) -> Pipeline {
    let text = format!("name: p\nvars: {{admins: [root, 'adm*']}}\ntransformations:\n{steps}");
    let (pipeline, found) = read(&text);
    pipeline.unwrap_or_else(|| panic!("{found:#?}"))
}

/// What is wrong with a pipeline of these steps, with line and column.
fn refused(steps: &str) -> String {
    let (pipeline, found) = read(&format!("name: p\ntransformations:\n{steps}"));
    assert!(pipeline.is_none(), "it is read");
    let one = found.first().expect("a finding");
    format!("{}:{} {}", one.place.line, one.place.column, one.message)
}

/// The rule behind pipelines, or what they say of it.
fn after(pipelines: Vec<Pipeline>, rule: &str) -> Result<String, String> {
    let file = SigmaFile::new(Path::new("r.yml"), rule);
    let (document, mut report) = document::read(&file, rule).readable.remove(0);
    let mut rule = DetectionRule::parse(&document, &mut report).expect("a rule");
    if Pipelines::new(pipelines).apply(&mut rule, &[], &mut report).is_none() {
        let one = report.found.iter().find(|finding| finding.is_error()).expect("a finding");
        return Err(format!("{}:{} {}", one.place.line, one.place.column, one.message));
    }
    let parts: Vec<String> =
        rule.detections.named.iter().map(|named| format!("{}: {}", named.name, shown(&named.detection))).collect();
    let source = rule.logsource;
    let source: Vec<String> = [source.product, source.category, source.service].into_iter().flatten().collect();
    Ok(format!("{} | {} | {}", parts.join("; "), source.join("/"), rule.common.fields.join(",")))
}

fn shown(detection: &Detection) -> String {
    let list = |parts: &[Detection]| parts.iter().map(shown).collect::<Vec<_>>().join(" ");
    match detection {
        Detection::All(parts) => format!("({})", list(parts)),
        Detection::Any(parts) => format!("[{}]", list(parts)),
        Detection::Item(item) => {
            let values: Vec<String> = item.values.iter().map(|valued| value(&valued.value)).collect();
            format!("{}={}", item.field.as_deref().unwrap_or("*"), values.join("|"))
        }
    }
}

fn value(of: &Value) -> String {
    match of {
        Value::Text { text, .. } => text.to_string(),
        Value::Number { written, .. } => format!("#{written}"),
        Value::Null => "null".to_owned(),
        Value::FieldRef { field, .. } => format!("@{field}"),
        Value::AnyOf(values) => format!("{{{}}}", values.iter().map(value).collect::<Vec<_>>().join("|")),
        other => format!("{other:?}"),
    }
}

fn one(steps: &str) -> String {
    after(vec![pipeline(steps)], RULE).unwrap()
}

const SAME: &str = r"s: (Image=*\\cmd.exe User=Ann|%admins%); f: [(Company=null) (Company=@User)] | windows/process_creation | Image,User";

#[test]
fn a_rule_that_no_step_is_for_stays_as_it_is() {
    let rule = RULE.replace("'%admins%'", "'\\%admins%'");
    assert_eq!(after(vec![], &rule).unwrap().replace(r"\\%admins%", "%admins%"), SAME);
    assert_eq!(
        one("- {type: rule_failure, message: no, rule_conditions: [{type: logsource, product: linux}]}\n"),
        SAME
    );
}

#[test]
fn fields_get_other_names_where_they_are_tested_referred_to_and_shown() {
    let mapped = one("- {type: field_name_mapping, mapping: {Image: exe, User: [user.name, user.id]}}\n");
    assert_eq!(
        mapped,
        r"s: (exe=*\\cmd.exe [user.name=Ann|%admins% user.id=Ann|%admins%]); f: [(Company=null) (Company={@user.name|@user.id})] | windows/process_creation | exe,user.name,user.id"
    );
    let prefixed = one(
        "- {type: field_name_prefix, prefix: win., field_name_conditions: [{type: exclude_fields, fields: [User]}]}\n",
    );
    assert!(
        prefixed
            .starts_with(r"s: (win.Image=*\\cmd.exe User=Ann|%admins%); f: [(win.Company=null) (win.Company=@User)]"),
        "{prefixed}"
    );
    assert!(one("- {type: field_name_suffix, suffix: _t}\n").ends_with("Image_t,User_t"));
    assert!(one("- {type: field_name_prefix_mapping, mapping: {Im: im, U: [a, b]}}\n").ends_with("image,aser,bser"));
    let negated = RULE.replace("Image|endswith", "Image|endswith|neq");
    let of_all = after(vec![pipeline("- {type: field_name_mapping, mapping: {Image: [a, b]}}\n")], &negated).unwrap();
    assert!(of_all.starts_with(r"s: ((a=*\\cmd.exe b=*\\cmd.exe) User"), "{of_all}");
}

#[test]
fn keywords_that_become_a_field_are_looked_for_anywhere_in_it() {
    let rule = RULE.replace("  condition: s and not f", "  k: [evil]\n  condition: k");
    let mapped = after(vec![pipeline("- {type: field_name_mapping, mapping: {null: message}}\n")], &rule).unwrap();
    assert!(mapped.contains("k: message=*evil*"), "{mapped}");
}

#[test]
fn conditions_are_added_with_what_the_log_source_says() {
    let added = one("- {id: a, type: add_condition, conditions: {EventID: 1}, name: own}\n\
        - {type: add_condition, template: true, negated: true, conditions: {index: 'logs-$product-${category}'}}\n");
    assert!(added.contains("_own: (EventID=#1); _pipeline_3: (index=logs-windows-process_creation)"), "{added}");
}

#[test]
fn log_sources_and_shown_fields_change() {
    let changed =
        one("- {type: change_logsource, product: windows, service: sysmon}\n- {type: add_field, field: Extra}\n\
        - {type: remove_field, field: [User]}\n");
    assert!(changed.ends_with("| windows/sysmon | Image,Extra"), "{changed}");
    assert!(one("- {type: set_field, fields: [a, b]}\n").ends_with("| a,b"));
}

#[test]
fn items_are_dropped_by_field_or_value() {
    let dropped = one(
        "- {type: drop_detection_item, field_name_conditions: [{type: include_fields, mode: re, fields: ['Im', 'X']}]}\n",
    );
    assert!(dropped.starts_with("s: (User=Ann|%admins%); f"), "{dropped}");
    let dropped = one("- {type: drop_detection_item, detection_item_conditions: [{type: is_null}]}\n");
    assert!(dropped.contains("f: [() (Company=@User)]"), "{dropped}");
}

#[test]
fn placeholders_become_values_or_wildcards() {
    let rule = RULE.replace("User: [Ann, '%admins%']", "User|expand: ['x%admins%', '%other%']");
    let filled = after(
        vec![pipeline("- {type: value_placeholders, include: [admins]}\n- {type: wildcard_placeholders}\n")],
        &rule,
    );
    assert!(filled.unwrap().contains("User={xroot|xadm*}|*"));
    let missing = after(vec![pipeline("- {type: value_placeholders}\n")], &rule).unwrap_err();
    assert_eq!(missing, "10:5 no pipeline has a variable `other`");
}

#[test]
fn values_are_replaced() {
    let image = "field_name_conditions: [{type: include_fields, fields: [Image]}]";
    assert!(
        one(&format!("- {{type: replace_string, regex: '(.)md', replacement: 'x\\1', {image}}}\n"))
            .contains(r"Image=*\\xc.exe")
    );
    assert!(
        one(&format!("- {{type: replace_string, regex: '^\\\\', replacement: '', skip_special: true, {image}}}\n"))
            .contains("Image=*cmd.exe")
    );
    assert!(one("- {type: map_string, mapping: {Ann: [Bob, 'C*']}}\n").contains("User={Bob|C*}|%admins%"));
    assert!(one(&format!("- {{type: set_value, value: 5, {image}}}\n")).contains("Image=#5"));
    assert!(one(&format!("- {{type: set_value, value: 5, force_type: str, {image}}}\n")).contains("Image=5"));
    assert!(one(&format!("- {{type: case, method: upper, {image}}}\n")).contains(r"Image=*\\CMD.EXE"));
    let rule = RULE.replace("User: [Ann, '%admins%']", "User: [7, '8']");
    let typed = |to: &str| {
        after(
            vec![pipeline(&format!(
                "- {{type: convert_type, target_type: {to}, field_name_conditions: [{{type: include_fields, fields: [User]}}]}}\n"
            ))],
            &rule,
        )
    };
    assert!(typed("str").unwrap().contains("User=7|8") && typed("num").unwrap().contains("User=#7|#8"));
}

#[test]
fn rules_and_items_are_refused_at_their_place() {
    assert_eq!(
        after(vec![pipeline("- {type: rule_failure, message: not here}\n")], RULE).unwrap_err(),
        "6:1 a pipeline refuses the rule: not here"
    );
    let item = "- {type: detection_item_failure, message: no, field_name_conditions: [{type: include_fields, fields: [User]}]}\n";
    assert_eq!(after(vec![pipeline(item)], RULE).unwrap_err(), "10:5 a pipeline refuses the item: no");
}

#[test]
fn steps_know_what_others_did() {
    let steps = "- {id: first, type: field_name_mapping, mapping: {Image: exe}}\n\
        - {type: set_state, key: k, val: 3}\n\
        - {type: nest, items: [{type: add_field, field: nested, rule_conditions: [{type: processing_item_applied, processing_item_id: first}]}]}\n\
        - {type: add_field, field: state, rule_conditions: [{type: processing_state, key: k, val: 2, op: gt}]}\n\
        - {type: field_name_prefix, prefix: p., field_name_cond_not: true, field_name_conditions: [{type: processing_item_applied, processing_item_id: first}]}\n";
    let shown = one(steps);
    assert!(shown.starts_with(r"s: (exe=*\\cmd.exe p.User="), "{shown}");
    assert!(shown.ends_with("p.User,p.nested,p.state"), "{shown}");
}

#[test]
fn conditions_on_rules_hang_together_as_they_say() {
    let holds = |conditions: &str| one(&format!("- {{type: add_field, field: yes, {conditions}}}\n")).ends_with(",yes");
    assert!(holds("rule_conditions: [{type: tag, tag: attack.t1059}, {type: is_sigma_rule}]"));
    assert!(holds("rule_conditions: [{type: tag, tag: x}, {type: contains_field, field: User}], rule_cond_op: or"));
    assert!(!holds("rule_conditions: [{type: contains_detection_item, field: User, value: Ann}], rule_cond_not: true"));
    assert!(holds("rule_conditions: [{type: rule_attribute, attribute: level, value: medium, op: gte}]"));
    assert!(!holds("rule_conditions: [{type: rule_attribute, attribute: title, value: [B, C], op: in}]"));
    assert!(holds(
        "rule_cond_expr: a and not b, rule_conditions: {a: {type: logsource, category: process_creation}, b: {type: is_sigma_correlation_rule}}"
    ));
}

#[test]
fn pipelines_go_by_priority() {
    let (late, _) = read("name: l\npriority: 9\ntransformations:\n- {type: field_name_suffix, suffix: _9}\n");
    let early = pipeline("- {type: field_name_suffix, suffix: _0}\n");
    assert!(after(vec![late.unwrap(), early], RULE).unwrap().ends_with("Image_0_9,User_0_9"));
}

#[test]
fn what_is_wrong_with_a_pipeline_is_said_at_its_place() {
    assert_eq!(refused("- type: field_name_maping\n"), "3:9 `field_name_maping` is no transformation");
    assert!(
        refused("- type: query_expression_placeholders\n  expression: x\n")
            .contains("is not supported: it writes an expression")
    );
    assert_eq!(refused("- id: x\n"), "3:3 `type` is missing");
    assert_eq!(refused("- {type: drop_detection_item, rule_condition: []}\n"), "3:31 unknown key `rule_condition`");
    assert_eq!(refused("- type: field_name_mapping\n  mapping: [a]\n"), "4:12 `mapping` is a map, not a list");
    assert_eq!(refused("- type: add_condition\n  conditions: {a|contians: b}\n"), "4:16 `contians` is no modifier");
    assert_eq!(refused("- type: replace_string\n  regex: '('\n  replacement: ''\n").split(':').next(), Some("4"));
    assert_eq!(refused("- {type: nest, items: [{type: x}], rule_cond_expr: a}\n"), "3:52 no condition is called `a`");
    assert!(
        refused("- {type: drop_detection_item, rule_conditions: [{type: logsorce}]}\n")
            .contains("`logsorce` is no condition")
    );
    let (_, found) = read("transformations: []\nfinalizers: []\n");
    assert!(!found[0].is_error() && found[0].message.contains("`finalizers` changes the text of a query"));
}

#[test]
fn what_pipelines_make_is_bounded() {
    let doubled = "- {type: field_name_mapping, mapping: {Image: [Image, Image]}}\n".repeat(40);
    assert!(after(vec![pipeline(&doubled)], RULE).unwrap_err().contains("more than"));
}

#[test]
fn those_that_are_built_in_are_whole() {
    assert!(BuiltIn::all().windows(2).all(|pair| pair[0].name < pair[1].name));
    for own in BuiltIn::all() {
        let (pipeline, found) = read(own.text);
        assert!(found.is_empty(), "{}: {found:#?}", own.name);
        assert!(pipeline.is_some());
    }
}

#[test]
fn windows_rules_run_on_what_winlogbeat_writes() {
    let ecs = || built_in("ecs_windows");
    let shown = after(vec![ecs()], RULE).unwrap();
    assert!(
        shown.starts_with(r"s: (process.executable=*\\cmd.exe user.name=Ann|%admins%); f: [(process.pe.company=null)"),
        "{shown}"
    );
    let rule = RULE.replace("Image|endswith: '\\cmd.exe'", "ParentUser: x\n    EventID: 1");
    assert!(
        after(vec![ecs()], &rule).unwrap().starts_with("s: (winlog.event_data.ParentUser=x event.code=#1 user.name")
    );
    let rule = RULE
        .replace("process_creation", "network_connection")
        .replace("Image|endswith: '\\cmd.exe'", "Initiated: 'true'");
    assert!(after(vec![ecs()], &rule).unwrap().starts_with("s: (network.direction=egress"));
}

#[test]
fn categories_become_event_ids() {
    let of = |name: &str| after(vec![built_in(name)], RULE).unwrap();
    assert!(of("sysmon").contains("(EventID=#1) | windows/process_creation/sysmon |"));
    let audit = of("windows");
    assert!(
        audit.starts_with(r"s: (NewProcessName=*\\cmd.exe SubjectUserName=Ann")
            && audit.contains("(EventID=#4688) | windows/security |"),
        "{audit}"
    );
}

#[test]
fn linux_rules_run_on_joined_audit_records() {
    let auditd = || built_in("linux_auditd");
    let rule = RULE.replace("product: windows", "product: linux");
    let shown = after(vec![auditd()], &rule).unwrap();
    assert!(shown.starts_with(r"s: (exe=*\\cmd.exe [auid=Ann|%admins% uid=Ann|%admins%])"), "{shown}");
    let refused = after(vec![auditd()], &rule.replace("User:", "ParentImage:")).unwrap_err();
    assert!(refused.contains("auditd does not record"), "{refused}");
}

#[test]
fn watched_fields_tell_their_names() {
    let file = SigmaFile::new(Path::new("r.yml"), RULE);
    let (document, mut report) = document::read(&file, RULE).readable.remove(0);
    let mut rule = DetectionRule::parse(&document, &mut report).expect("a rule");
    let pipelines = Pipelines::new([pipeline(
        "- {type: field_name_mapping, mapping: {Channel: [a, b], User: u}}\n- {type: set_field, fields: []}\n",
    )]);
    let names = pipelines.apply(&mut rule, &["Channel", "User", "Other"], &mut report).unwrap();
    assert_eq!(names, [vec!["a", "b"], vec!["u"], vec!["Other"]]);
    assert!(rule.common.fields.is_empty());
}
