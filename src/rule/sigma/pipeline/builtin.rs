//! The pipelines that come with Tripline, as their files have them.

/// A pipeline that is known by a name.
pub struct BuiltIn {
    pub name: &'static str,
    pub text: &'static str,
}

const BUILT_IN: [BuiltIn; 4] = [
    BuiltIn { name: "ecs_windows", text: include_str!("builtin/ecs_windows.yml") },
    BuiltIn { name: "linux_auditd", text: include_str!("builtin/linux_auditd.yml") },
    BuiltIn { name: "sysmon", text: include_str!("builtin/sysmon.yml") },
    BuiltIn { name: "windows", text: include_str!("builtin/windows.yml") },
];

impl BuiltIn {
    /// In byte order of their names.
    pub fn all() -> &'static [BuiltIn] {
        &BUILT_IN
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<&'static BuiltIn> {
        BUILT_IN.iter().find(|own| own.name == name)
    }
}
