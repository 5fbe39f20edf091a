//! A project's own settings: their names, defaults and ranges.
//!
//! They live in the project's value, not in the server, so that every replica applies a command by the same ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::types::{Invalid, MAX_INTEGER, Millis, integer};

macro_rules! settings {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $default:literal, $min:literal ..= $max:expr;)+) => {
        /// One setting of a project.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Setting { $($(#[$doc])* $variant,)+ }

        impl Setting {
            /// All settings, in the order in which they are shown and stored.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in `POPPO.CONFIG`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What a new project has.
            pub const fn default_value(self) -> u64 {
                match self { $(Self::$variant => $default),+ }
            }

            /// The least and the greatest value allowed.
            pub const fn range(self) -> (u64, u64) {
                match self { $(Self::$variant => ($min, $max)),+ }
            }
        }
    };
}

settings! {
    /// Milliseconds of silence after which a process is an orphan, where it gave no TTL.
    HeartbeatTtl = "heartbeat-ttl", 1_800_000, 1_000..=Millis::MAX_TTL;
    /// Milliseconds for which a host agent's "alive" counts.
    AttestTtl = "attest-ttl", 60_000, 1_000..=86_400_000;
    /// Milliseconds of silence after which even an attested process is an orphan.
    MaxSilence = "max-silence", 7_200_000, 1_000..=604_800_000;
    /// Queue: failed attempts before a task is dead.
    MaxAttempts = "max-attempts", 5, 1..=1_000;
    /// Queue: requeues of orphans before a task is dead.
    MaxOrphans = "max-orphans", 3, 1..=1_000;
    /// Queue: issues in processing at once, 0 for no limit.
    MaxRunning = "max-running", 0, 0..=MAX_INTEGER;
    /// Queue: milliseconds of waiting per point of priority, 0 for none.
    QueueAging = "queue-aging", 0, 0..=86_400_000;
    /// Entries of the event log.
    EventsKept = "events-kept", 10_000, 0..=1_000_000;
    /// Newest finished issues kept, 0 for all.
    IssuesKept = "issues-kept", 0, 0..=MAX_INTEGER;
    /// Queue: ids of finished tasks remembered.
    FinishedKept = "finished-kept", 10_000, 0..=10_000_000;
    /// Milliseconds a process that holds nothing is kept after its last sign of life.
    ProcessKept = "process-kept", 3_600_000, 1_000..=31_536_000_000;
}

impl Setting {
    /// The setting of this name, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|setting| name.eq_ignore_ascii_case(setting.name().as_bytes()))
    }

    /// Parses a value for this setting.
    ///
    /// # Errors
    /// [`Invalid::Integer`] with the range.
    pub fn parse(self, value: &[u8]) -> Result<u64, Invalid> {
        let (min, max) = self.range();
        integer(value, min, max)
    }
}

/// The values of all settings of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings([u64; Setting::ALL.len()]);

impl Default for Settings {
    fn default() -> Self {
        let mut values = [0; Setting::ALL.len()];
        for (value, setting) in values.iter_mut().zip(Setting::ALL) {
            *value = setting.default_value();
        }
        Self(values)
    }
}

impl Settings {
    /// The value of a setting, in its unit.
    pub fn get(&self, setting: Setting) -> u64 {
        self.0.get(setting as usize).copied().unwrap_or_default()
    }

    /// The value of a setting that is a span of time.
    pub fn millis(&self, setting: Setting) -> Millis {
        Millis(self.get(setting))
    }

    pub(crate) fn set(&mut self, setting: Setting, value: u64) {
        if let Some(slot) = self.0.get_mut(setting as usize) {
            *slot = value;
        }
    }
}

/// For those who tell others what is not as in a new project.
impl Settings {
    pub(crate) fn serialize_changed<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let changed = Setting::ALL.iter().filter(|setting| self.get(**setting) != setting.default_value());
        serializer.collect_map(changed.map(|setting| (setting.name(), self.get(*setting))))
    }
}

/// In order for machines, each with its name for people.
impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_map(Setting::ALL.iter().map(|setting| (setting.name(), self.get(*setting))))
        } else {
            self.0.as_slice().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Vec::deserialize(deserializer)?.try_into().map_err(de::Error::custom);
        }
        let mut settings = Self::default();
        for (name, value) in BTreeMap::<String, u64>::deserialize(deserializer)? {
            let setting = Setting::ALL.iter().find(|setting| setting.name() == name);
            let setting = setting.ok_or_else(|| de::Error::custom(format!("there is no setting {name}")))?;
            let (min, max) = setting.range();
            if !(min..=max).contains(&value) {
                return Err(de::Error::custom(format!("{name} {}", Invalid::Integer(min, max))));
            }
            settings.set(*setting, value);
        }
        Ok(settings)
    }
}

/// Reads what some version stored: fewer values than there are settings now leave the rest at their defaults.
impl TryFrom<Vec<u64>> for Settings {
    type Error = Invalid;

    fn try_from(values: Vec<u64>) -> Result<Self, Invalid> {
        let mut settings = Self::default();
        if values.len() > Setting::ALL.len() {
            return Err(Invalid::Integer(0, Setting::ALL.len() as u64));
        }
        for (setting, value) in Setting::ALL.iter().zip(values) {
            let (min, max) = setting.range();
            if !(min..=max).contains(&value) {
                return Err(Invalid::Integer(min, max));
            }
            settings.set(*setting, value);
        }
        Ok(settings)
    }
}
