//! Chance from a seed, and the words that made-up events and rules have in common.

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for a seed, on every machine and for ever.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// As [`Chance::pick`], the first ones far more often.
    pub fn pick_first<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = self.below(from.len() + 1) * self.below(from.len()) / from.len();
        from[at.min(from.len() - 1)]
    }

    /// A made-up word of two to four syllables, so many that two texts seldom share one.
    pub fn word(&mut self) -> String {
        let syllables = 2 + self.below(3);
        (0..syllables).map(|_| self.pick(SYLLABLES)).collect()
    }

    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789ABCDEF"[self.below(16)])).collect()
    }

    /// An IPv4 address.
    pub fn address(&mut self) -> String {
        let first = self.pick(&["10", "172", "198", "203"]);
        format!("{first}.{}.{}.{}", self.below(256), self.below(256), 1 + self.below(254))
    }
}

const SYLLABLES: &[&str] = &[
    "ba", "con", "der", "est", "fi", "gal", "hor", "in", "jo", "ker", "lum", "mon", "net", "or", "pre", "qui", "ras",
    "ser", "tan", "ul", "ver", "win", "xa", "yel", "zor", "ack", "brid", "clo", "dri", "flo", "gra", "sha", "tro",
    "wre",
];

pub const SYSMON: &str = "Microsoft-Windows-Sysmon/Operational";
pub const POWERSHELL: &str = "Microsoft-Windows-PowerShell/Operational";
pub const SECURITY: &str = "Security";

/// Programs that run on every host, the busiest first.
pub const PROGRAMS: &[&str] = &[
    "svchost.exe",
    "conhost.exe",
    "backgroundTaskHost.exe",
    "RuntimeBroker.exe",
    "chrome.exe",
    "msedge.exe",
    "git.exe",
    "cmd.exe",
    "node.exe",
    "SearchProtocolHost.exe",
    "taskhostw.exe",
    "WmiPrvSE.exe",
    "dllhost.exe",
    "explorer.exe",
    "powershell.exe",
    "OUTLOOK.EXE",
    "WINWORD.EXE",
    "EXCEL.EXE",
    "MpCmdRun.exe",
    "sc.exe",
    "reg.exe",
    "net.exe",
    "schtasks.exe",
    "rundll32.exe",
    "msiexec.exe",
    "regsvr32.exe",
    "wscript.exe",
    "mshta.exe",
    "certutil.exe",
    "bitsadmin.exe",
    "curl.exe",
    "wmic.exe",
    "whoami.exe",
    "netsh.exe",
    "nltest.exe",
    "vssadmin.exe",
];

pub const FOLDERS: &[&str] = &[
    r"C:\Windows\System32",
    r"C:\Program Files\Google\Chrome\Application",
    r"C:\Program Files (x86)\Microsoft\Edge\Application",
    r"C:\Windows\SysWOW64",
    r"C:\Program Files\Git\cmd",
    r"C:\Users\alice\AppData\Local\Programs",
    r"C:\Program Files\nodejs",
    r"C:\ProgramData\Microsoft\Windows Defender\Platform",
    r"C:\Users\bob\AppData\Local\Temp",
];

/// Parts of command lines that attacks and everyday work share.
pub const OPTIONS: &[&str] = &[
    " --type=renderer",
    " -k netsvcs",
    " /c ",
    " -p -s ",
    " --lang=en-US",
    " -Embedding",
    " /quiet",
    " --no-sandbox",
    " status --porcelain",
    " -NoProfile",
    " -ExecutionPolicy Bypass",
    " /create ",
    " /add ",
    " -enc ",
    " query ",
    " -File ",
    " http://",
    " \\AppData\\Roaming\\",
    " \\Temp\\",
    " -windowstyle hidden",
    " IEX",
    " localgroup ",
    " \\Users\\Public\\",
    ".dll,",
    " DownloadString",
    " delete shadows",
];

pub const KEYS: &[&str] = &[
    r"HKLM\System\CurrentControlSet\Services",
    r"HKU\S-1-5-21-1004336348-1177238915-682003330-512\Software\Microsoft\Windows\CurrentVersion\Explorer",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run",
    r"HKLM\SOFTWARE\Policies\Microsoft\Windows Defender",
];

/// Lines of scripts, the everyday ones first.
pub const SCRIPT_LINES: &[&str] = &[
    "param([string]$Name, [int]$Count = 1)",
    "Write-Verbose \"processing $Name\"",
    "foreach ($item in Get-ChildItem -Path $Path -Recurse) { $total += $item.Length }",
    "if (-not (Test-Path $target)) { New-Item -ItemType Directory -Path $target | Out-Null }",
    "$result = Invoke-RestMethod -Uri $uri -Headers $headers",
    "Import-Module ActiveDirectory",
    "Get-CimInstance -ClassName Win32_OperatingSystem | Select-Object Caption, Version",
    "$bytes = [System.Convert]::FromBase64String($text)",
    "(New-Object System.Net.WebClient).DownloadFile($url, $out)",
    "Set-ItemProperty -Path $key -Name $name -Value $value",
];
