//! Made-up events in the shapes that real sources write.

use super::words::{Chance, FOLDERS, KEYS, OPTIONS, POWERSHELL, PROGRAMS, SCRIPT_LINES, SECURITY, SYSMON};

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    ProcessCreation,
    ScriptBlock,
    /// Network, file, registry, image load and logon events.
    Other,
    /// Process creation in nested ECS.
    Ecs,
    CloudTrail,
    /// RFC 3164 lines.
    Syslog,
}

/// `count` records of a kind.
pub fn events(kind: Kind, count: usize, chance: &mut Chance) -> Vec<String> {
    (0..count).map(|_| event(kind, chance)).collect()
}

/// `count` records, so many in a hundred process creations, a twentieth script blocks, others else.
pub fn mix(percent: usize, count: usize, chance: &mut Chance) -> Vec<String> {
    let kind = |chance: &mut Chance| match (chance.percent(percent), chance.percent(5)) {
        (true, _) => Kind::ProcessCreation,
        (false, true) => Kind::ScriptBlock,
        (false, false) => Kind::Other,
    };
    (0..count)
        .map(|_| {
            let kind = kind(chance);
            event(kind, chance)
        })
        .collect()
}

fn event(kind: Kind, chance: &mut Chance) -> String {
    match kind {
        Kind::ProcessCreation => process_creation(chance),
        Kind::ScriptBlock => script_block(chance),
        Kind::Other => other(chance),
        Kind::Ecs => ecs(chance),
        Kind::CloudTrail => cloud_trail(chance),
        Kind::Syslog => syslog(chance),
    }
}

/// A text as JSON writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn time(chance: &mut Chance) -> String {
    format!(
        "2026-01-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        1 + chance.below(28),
        chance.below(24),
        chance.below(60),
        chance.below(60),
        chance.below(1000)
    )
}

fn image(chance: &mut Chance) -> String {
    format!("{}\\{}", chance.pick_first(FOLDERS), chance.pick_first(PROGRAMS))
}

fn command_line(image: &str, chance: &mut Chance) -> String {
    let mut line = format!("\"{image}\"");
    for _ in 0..1 + chance.below(3) {
        line.push_str(chance.pick_first(OPTIONS));
        line.push_str(&chance.word());
    }
    line
}

fn guid(chance: &mut Chance) -> String {
    format!("{{{}-{}-{}-{}-{}}}", chance.hex(8), chance.hex(4), chance.hex(4), chance.hex(4), chance.hex(12))
}

/// The head that every Windows event has.
fn head(channel: &str, id: u32, provider: &str, chance: &mut Chance) -> String {
    let host = chance.below(500);
    format!(
        r#"{{"@timestamp":"{}","Channel":"{channel}","EventID":{id},"Provider_Name":"{provider}","Computer":"WS{host:04}.corp.example","EventRecordID":{},"Level":4,"Task":{},"Execution_ProcessID":{}"#,
        time(chance),
        chance.below(1 << 24),
        chance.below(20),
        chance.below(9000)
    )
}

fn sysmon(id: u32, chance: &mut Chance) -> String {
    head(SYSMON, id, "Microsoft-Windows-Sysmon", chance)
}

fn process_creation(chance: &mut Chance) -> String {
    let (own, parent) = (image(chance), image(chance));
    let name = own.rsplit('\\').next().unwrap_or_default().to_owned();
    let user = chance.pick(&["CORP\\alice", "CORP\\bob", "NT AUTHORITY\\SYSTEM"]);
    let head = sysmon(1, chance);
    format!(
        r#"{head},"ProcessGuid":"{}","ProcessId":{},"Image":{},"FileVersion":"10.0.19041.{}","Description":{},"Company":"Microsoft Corporation","OriginalFileName":{},"CommandLine":{},"CurrentDirectory":{},"User":{},"LogonId":"0x{}","IntegrityLevel":"{}","Hashes":"MD5={},IMPHASH={}","ParentProcessGuid":"{}","ParentProcessId":{},"ParentImage":{},"ParentCommandLine":{}}}"#,
        guid(chance),
        chance.below(20_000),
        quoted(&own),
        chance.below(4000),
        quoted(&name),
        quoted(&name),
        quoted(&command_line(&own, chance)),
        quoted(&format!("{}\\", chance.pick_first(FOLDERS))),
        quoted(user),
        chance.hex(5),
        chance.pick(&["Medium", "High", "System"]),
        chance.hex(32),
        chance.hex(32),
        guid(chance),
        chance.below(20_000),
        quoted(&parent),
        quoted(&command_line(&parent, chance)),
    )
}

fn script_block(chance: &mut Chance) -> String {
    let lines = 4 + chance.below(10);
    let mut script = String::new();
    for _ in 0..lines {
        script.push_str(chance.pick_first(SCRIPT_LINES));
        script.push_str(" # ");
        script.push_str(&chance.word());
        script.push_str("\r\n");
    }
    let head = head(POWERSHELL, 4104, "Microsoft-Windows-PowerShell", chance);
    format!(
        r#"{head},"MessageNumber":1,"MessageTotal":1,"ScriptBlockText":{},"ScriptBlockId":"{}","Path":{}}}"#,
        quoted(&script),
        guid(chance),
        quoted(&format!("{}\\{}.ps1", chance.pick_first(FOLDERS), chance.word()))
    )
}

fn other(chance: &mut Chance) -> String {
    let own = image(chance);
    let word = chance.word();
    let (head, rest) = match chance.below(8) {
        0 | 1 => (
            sysmon(3, chance),
            format!(
                r#""Protocol":"tcp","Initiated":"true","SourceIp":"{}","SourcePort":{},"DestinationIp":"{}","DestinationPort":{},"DestinationHostname":"{word}.example.com""#,
                chance.address(),
                chance.below(65536),
                chance.address(),
                chance.pick(&["443", "80", "53", "445", "8080"])
            ),
        ),
        2 | 3 => (
            sysmon(7, chance),
            format!(
                r#""ImageLoaded":{},"Signed":"true","Signature":"Microsoft Windows","SignatureStatus":"Valid","Hashes":"SHA256={}""#,
                quoted(&format!("{}\\{word}.dll", chance.pick_first(FOLDERS))),
                chance.hex(64)
            ),
        ),
        4 => (
            sysmon(11, chance),
            format!(
                r#""TargetFilename":{},"CreationUtcTime":"2026-01-01 00:00:00.000""#,
                quoted(&format!(
                    "{}\\{word}.{}",
                    chance.pick_first(FOLDERS),
                    chance.pick(&["tmp", "log", "dat", "exe", "ps1"])
                ))
            ),
        ),
        5 => (
            sysmon(13, chance),
            format!(
                r#""EventType":"SetValue","TargetObject":{},"Details":"DWORD (0x{})""#,
                quoted(&format!("{}\\{word}", chance.pick_first(KEYS))),
                chance.hex(8)
            ),
        ),
        6 => (
            sysmon(10, chance),
            format!(
                r#""TargetImage":{},"GrantedAccess":"0x{}","CallTrace":{}"#,
                quoted(&image(chance)),
                chance.hex(4),
                quoted(&format!(
                    "C:\\Windows\\SYSTEM32\\ntdll.dll+{}|C:\\Windows\\System32\\KERNELBASE.dll+{}",
                    chance.hex(5),
                    chance.hex(5)
                ))
            ),
        ),
        _ => (
            head(SECURITY, 4624, "Microsoft-Windows-Security-Auditing", chance),
            format!(
                r#""SubjectUserName":"WS$","TargetUserName":"{word}","LogonType":{},"IpAddress":"{}","WorkstationName":"WS{}","LogonProcessName":"Kerberos","AuthenticationPackageName":"Negotiate""#,
                chance.pick(&["3", "5", "10"]),
                chance.address(),
                chance.below(500)
            ),
        ),
    };
    format!(
        r#"{head},"ProcessGuid":"{}","ProcessId":{},"Image":{},"User":"CORP\\alice",{rest}}}"#,
        guid(chance),
        chance.below(20_000),
        quoted(&own)
    )
}

fn ecs(chance: &mut Chance) -> String {
    let (own, parent) = (image(chance), image(chance));
    let name = own.rsplit('\\').next().unwrap_or_default().to_owned();
    format!(
        r#"{{"@timestamp":"{}","ecs":{{"version":"8.11.0"}},"agent":{{"id":"{}","type":"endpoint","version":"8.14.1"}},"event":{{"kind":"event","category":["process"],"type":["start"],"action":"start","code":"1","module":"endpoint","dataset":"endpoint.events.process","sequence":{}}},"host":{{"name":"ws{}","os":{{"type":"windows","family":"windows","version":"10.0.19045"}},"ip":["{}","fe80::1"]}},"user":{{"name":"alice","domain":"CORP","id":"S-1-5-21-{}"}},"process":{{"pid":{},"entity_id":"{}","name":{},"executable":{},"command_line":{},"args_count":3,"hash":{{"md5":"{}"}},"parent":{{"pid":{},"name":"explorer.exe","executable":{},"command_line":{}}}}},"message":"Endpoint process event"}}"#,
        time(chance),
        guid(chance),
        chance.below(1 << 24),
        chance.below(500),
        chance.address(),
        chance.below(1 << 30),
        chance.below(20_000),
        guid(chance),
        quoted(&name),
        quoted(&own),
        quoted(&command_line(&own, chance)),
        chance.hex(32),
        chance.below(20_000),
        quoted(&parent),
        quoted(&command_line(&parent, chance)),
    )
}

fn cloud_trail(chance: &mut Chance) -> String {
    let (source, action) = [
        ("s3", "GetObject"),
        ("ec2", "DescribeInstances"),
        ("sts", "AssumeRole"),
        ("iam", "ListRoles"),
        ("kms", "Decrypt"),
        ("iam", "CreateAccessKey"),
        ("logs", "PutLogEvents"),
    ][chance.below(7)];
    let word = chance.word();
    format!(
        r#"{{"eventVersion":"1.09","userIdentity":{{"type":"AssumedRole","principalId":"AROA{}:{word}","arn":"arn:aws:sts::{:012}:assumed-role/{word}/session","accountId":"{:012}","accessKeyId":"ASIA{}","sessionContext":{{"sessionIssuer":{{"type":"Role","userName":"{word}"}},"attributes":{{"creationDate":"{}","mfaAuthenticated":"false"}}}}}},"eventTime":"{}","eventSource":"{source}.amazonaws.com","eventName":"{action}","awsRegion":"eu-central-1","sourceIPAddress":"{}","userAgent":"aws-sdk-go/1.44.{} (go1.22; linux; amd64)","requestParameters":{{"bucketName":"{word}-data","key":"{}/{}"}},"responseElements":null,"requestID":"{}","eventID":"{}","readOnly":true,"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"{:012}"}}"#,
        chance.hex(16),
        chance.below(1 << 30),
        chance.below(1 << 30),
        chance.hex(16),
        time(chance),
        time(chance),
        chance.address(),
        chance.below(400),
        chance.word(),
        chance.word(),
        chance.hex(16),
        guid(chance),
        chance.below(1 << 30),
    )
}

fn syslog(chance: &mut Chance) -> String {
    let host = chance.below(500);
    let head = format!(
        "<{}>Jan {:2} {:02}:{:02}:{:02} srv{host}",
        30 + chance.below(60),
        1 + chance.below(28),
        chance.below(24),
        chance.below(60),
        chance.below(60)
    );
    match chance.below(4) {
        0 => format!(
            "{head} sshd[{}]: Failed password for invalid user {} from {} port {} ssh2",
            chance.below(30_000),
            chance.word(),
            chance.address(),
            chance.below(65536)
        ),
        1 => format!(
            "{head} sshd[{}]: Accepted publickey for {} from {} port {} ssh2: ED25519 SHA256:{}",
            chance.below(30_000),
            chance.word(),
            chance.address(),
            chance.below(65536),
            chance.hex(43)
        ),
        2 => format!(
            "{head} sudo: {} : TTY=pts/0 ; PWD=/home/{} ; USER=root ; COMMAND=/usr/bin/{}",
            chance.word(),
            chance.word(),
            chance.word()
        ),
        _ => format!(
            "{head} kernel: [{}.{:06}] {}: port 1({}) entered forwarding state",
            chance.below(90_000),
            chance.below(1_000_000),
            chance.word(),
            chance.word()
        ),
    }
}

/// Events that ask for much at once.
pub fn hostile(chance: &mut Chance) -> Vec<(&'static str, String)> {
    let long: String = (0..120_000).map(|_| chance.word() + " ").collect();
    let long = &long[..long.len().min(1_000_000)];
    let deep = format!("{}1{}", "{\"a\":".repeat(60), "}".repeat(60));
    let keys: Vec<String> = (0..1_000).map(|n| format!("\"key{n}\":{}", chance.below(100))).collect();
    vec![
        ("text of 1 MB", format!("{},\"CommandLine\":{}}}", sysmon(1, chance), quoted(long))),
        ("60 deep", format!("{},\"CommandLine\":{deep}}}", sysmon(1, chance))),
        ("1,000 keys", format!("{},{}}}", sysmon(1, chance), keys.join(","))),
    ]
}
