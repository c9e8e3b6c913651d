//! The event logs of Windows under the names that Sigma has for them: a category is a channel with event ids, a
//! service is a channel. Process creation is Sysmon's event 1, as rules read its fields.

use super::sources::{Kind, Row, number, text};

const SYSMON: &[&str] = &["Microsoft-Windows-Sysmon/Operational"];
const POWERSHELL: &[&str] = &["Microsoft-Windows-PowerShell/Operational", "PowerShellCore/Operational"];
const POWERSHELL_CLASSIC: &[&str] = &["Windows PowerShell"];

/// Name, channels, event ids, and what else tells it apart.
type Category =
    (&'static str, &'static [&'static str], &'static [i64], Option<(&'static str, &'static [&'static str])>);

const CATEGORIES: [Category; 34] = [
    ("process_creation", SYSMON, &[1], None),
    ("file_change", SYSMON, &[2], None),
    ("network_connection", SYSMON, &[3], None),
    ("sysmon_status", SYSMON, &[4, 16], None),
    ("process_termination", SYSMON, &[5], None),
    ("driver_load", SYSMON, &[6], None),
    ("image_load", SYSMON, &[7], None),
    ("create_remote_thread", SYSMON, &[8], None),
    ("raw_access_thread", SYSMON, &[9], None),
    ("process_access", SYSMON, &[10], None),
    ("file_event", SYSMON, &[11], None),
    ("registry_event", SYSMON, &[12, 13, 14], None),
    ("registry_add", SYSMON, &[12], Some(("EventType", &["CreateKey"]))),
    ("registry_delete", SYSMON, &[12], Some(("EventType", &["DeleteKey", "DeleteValue"]))),
    ("registry_set", SYSMON, &[13], None),
    ("registry_rename", SYSMON, &[14], None),
    ("create_stream_hash", SYSMON, &[15], None),
    ("pipe_created", SYSMON, &[17, 18], None),
    ("wmi_event", SYSMON, &[19, 20, 21], None),
    ("dns_query", SYSMON, &[22], None),
    ("file_delete", SYSMON, &[23], None),
    ("clipboard_change", SYSMON, &[24], None),
    ("clipboard_capture", SYSMON, &[24], None),
    ("process_tampering", SYSMON, &[25], None),
    ("file_delete_detected", SYSMON, &[26], None),
    ("file_block_executable", SYSMON, &[27], None),
    ("file_block_shredding", SYSMON, &[28], None),
    ("file_executable_detected", SYSMON, &[29], None),
    ("sysmon_error", SYSMON, &[255], None),
    ("ps_module", POWERSHELL, &[4103], None),
    ("ps_script", POWERSHELL, &[4104], None),
    ("ps_classic_start", POWERSHELL_CLASSIC, &[400], None),
    ("ps_classic_provider_start", POWERSHELL_CLASSIC, &[600], None),
    ("ps_classic_script", POWERSHELL_CLASSIC, &[800], None),
];

const SERVICES: [(&str, &[&str]); 52] = [
    ("application", &["Application"]),
    (
        "application-experience",
        &[
            "Microsoft-Windows-Application-Experience/Program-Telemetry",
            "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant",
        ],
    ),
    (
        "applocker",
        &[
            "Microsoft-Windows-AppLocker/MSI and Script",
            "Microsoft-Windows-AppLocker/EXE and DLL",
            "Microsoft-Windows-AppLocker/Packaged app-Deployment",
            "Microsoft-Windows-AppLocker/Packaged app-Execution",
        ],
    ),
    ("appmodel-runtime", &["Microsoft-Windows-AppModel-Runtime/Admin"]),
    ("appxdeployment-server", &["Microsoft-Windows-AppXDeploymentServer/Operational"]),
    ("appxpackaging-om", &["Microsoft-Windows-AppxPackaging/Operational"]),
    ("bitlocker", &["Microsoft-Windows-BitLocker/BitLocker Management"]),
    ("bits-client", &["Microsoft-Windows-Bits-Client/Operational"]),
    ("capi2", &["Microsoft-Windows-CAPI2/Operational"]),
    (
        "certificateservicesclient-lifecycle-system",
        &["Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational"],
    ),
    ("codeintegrity-operational", &["Microsoft-Windows-CodeIntegrity/Operational"]),
    ("dhcp", &["Microsoft-Windows-DHCP-Server/Operational"]),
    ("diagnosis-scripted", &["Microsoft-Windows-Diagnosis-Scripted/Operational"]),
    ("dns-client", &["Microsoft-Windows-DNS Client Events/Operational"]),
    ("dns-server", &["DNS Server"]),
    ("dns-server-analytic", &["Microsoft-Windows-DNS-Server/Analytical"]),
    ("dns-server-audit", &["Microsoft-Windows-DNS-Server/Audit"]),
    ("driver-framework", &["Microsoft-Windows-DriverFrameworks-UserMode/Operational"]),
    ("firewall-as", &["Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"]),
    ("hyper-v-worker", &["Microsoft-Windows-Hyper-V-Worker", "Microsoft-Windows-Hyper-V-Worker-Admin"]),
    ("iis-configuration", &["Microsoft-IIS-Configuration/Operational"]),
    ("kernel-event-tracing", &["Microsoft-Windows-Kernel-EventTracing", "Microsoft-Windows-Kernel-EventTracing/Admin"]),
    (
        "kernel-shimengine",
        &["Microsoft-Windows-Kernel-ShimEngine/Operational", "Microsoft-Windows-Kernel-ShimEngine/Diagnostic"],
    ),
    ("ldap", &["Microsoft-Windows-LDAP-Client/Debug"]),
    ("ldap_debug", &["Microsoft-Windows-LDAP-Client/Debug"]),
    ("lsa-server", &["Microsoft-Windows-LSA/Operational"]),
    (
        "microsoft-servicebus-client",
        &[
            "Microsoft-ServiceBus-Client",
            "Microsoft-ServiceBus-Client/Admin",
            "Microsoft-ServiceBus-Client/Operational",
        ],
    ),
    ("msexchange-management", &["MSExchange Management"]),
    ("ntfs", &["Microsoft-Windows-Ntfs/Operational"]),
    ("ntlm", &["Microsoft-Windows-NTLM/Operational"]),
    ("openssh", &["OpenSSH/Operational"]),
    ("powershell", POWERSHELL),
    ("powershell-classic", POWERSHELL_CLASSIC),
    ("printservice-admin", &["Microsoft-Windows-PrintService/Admin"]),
    ("printservice-operational", &["Microsoft-Windows-PrintService/Operational"]),
    ("security", &["Security"]),
    (
        "security-mitigations",
        &["Microsoft-Windows-Security-Mitigations/Kernel Mode", "Microsoft-Windows-Security-Mitigations/User Mode"],
    ),
    ("sense", &["Microsoft-Windows-SENSE/Operational"]),
    ("servicebus-client", &["Microsoft-ServiceBus-Client/Admin", "Microsoft-ServiceBus-Client/Operational"]),
    ("shell-core", &["Microsoft-Windows-Shell-Core/Operational"]),
    ("smbclient-connectivity", &["Microsoft-Windows-SmbClient/Connectivity"]),
    ("smbclient-security", &["Microsoft-Windows-SmbClient/Security"]),
    ("smbserver-connectivity", &["Microsoft-Windows-SMBServer/Connectivity"]),
    ("sysmon", SYSMON),
    ("system", &["System"]),
    ("taskscheduler", &["Microsoft-Windows-TaskScheduler/Operational"]),
    ("terminalservices-localsessionmanager", &["Microsoft-Windows-TerminalServices-LocalSessionManager/Operational"]),
    ("vhdmp", &["Microsoft-Windows-VHDMP/Operational", "Microsoft-Windows-VHDMP-Operational"]),
    ("windefend", &["Microsoft-Windows-Windows Defender/Operational"]),
    ("wmi", &["Microsoft-Windows-WMI-Activity/Operational"]),
    ("setup", &["Setup"]),
    ("winrm", &["Microsoft-Windows-WinRM/Operational"]),
];

/// What is built in.
pub fn rows() -> impl Iterator<Item = Row> {
    let channels = |names: &[&str]| ("Channel".to_owned(), names.iter().map(|name| text(name)).collect());
    let row = |kind, name: &str, fields| Row { product: "windows".to_owned(), kind, name: name.to_owned(), fields };
    let categories = CATEGORIES.iter().map(move |(name, on, ids, further)| {
        let mut fields = vec![channels(on), ("EventID".to_owned(), ids.iter().map(|id| number(*id)).collect())];
        fields.extend(
            further.map(|(field, values)| (field.to_owned(), values.iter().map(|value| text(value)).collect())),
        );
        row(Kind::Category, name, fields)
    });
    categories.chain(SERVICES.iter().map(move |(name, on)| row(Kind::Service, name, vec![channels(on)])))
}
