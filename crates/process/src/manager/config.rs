//! Sizes and times of the process manager.

use types::Nanos;

/// Sizes and times of the process manager; the defaults are the documents'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessManagerConfig {
    /// Most processes.
    pub max_processes: u32,
    /// Most processes that belong to services.
    pub max_service_processes: u32,
    /// Bytes of stack of a created process.
    pub default_stack_size: u64,
    /// Bytes of memory of a created process.
    pub default_memory_limit: u64,
    /// Descriptors of a created process.
    pub default_max_descriptors: u64,
    /// How long a service may take to start or stop.
    pub service_timeout: Nanos,
    /// Between SIGTERM and SIGKILL.
    pub grace_period: Nanos,
    /// How long an emergency termination of everything may take.
    pub emergency_timeout: Nanos,
    /// Whether use is counted.
    pub accounting: bool,
    /// Whether the monitor looks at processes.
    pub monitoring: bool,
}

impl Default for ProcessManagerConfig {
    fn default() -> Self {
        Self {
            max_processes: 65_536,
            max_service_processes: 1024,
            default_stack_size: 8 << 20,
            default_memory_limit: 256 << 20,
            default_max_descriptors: 1024,
            service_timeout: Nanos::from_secs(30),
            grace_period: Nanos::from_secs(5),
            emergency_timeout: Nanos::from_secs(10),
            accounting: true,
            monitoring: true,
        }
    }
}

impl ProcessManagerConfig {
    /// The defaults, changed by what `option` has to say: it is asked for names such as `process.grace_ms` and answers with
    /// the number that the administrator gave. Sizes are bytes.
    #[must_use]
    pub fn configured(option: impl Fn(&str) -> Option<u64>) -> Self {
        let default = Self::default();
        let number = |name: &str, otherwise: u64| option(name).unwrap_or(otherwise);
        let count = |name, otherwise: u32| u32::try_from(number(name, otherwise.into())).unwrap_or(otherwise).max(1);
        let time = |name, otherwise: Nanos| option(name).map_or(otherwise, |ms| Nanos(ms.saturating_mul(1_000_000)));
        Self {
            max_processes: count("process.max", default.max_processes).min(crate::PID_MAX),
            max_service_processes: count("process.max_service", default.max_service_processes),
            default_stack_size: number("process.stack_size", default.default_stack_size),
            default_memory_limit: number("process.memory_limit", default.default_memory_limit),
            default_max_descriptors: number("process.descriptors", default.default_max_descriptors),
            service_timeout: time("process.service_timeout_ms", default.service_timeout),
            grace_period: time("process.grace_ms", default.grace_period),
            emergency_timeout: time("process.emergency_ms", default.emergency_timeout),
            accounting: number("process.accounting", 1) != 0,
            monitoring: number("process.monitoring", 1) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documents() {
        let config = ProcessManagerConfig::configured(|_| None);
        assert_eq!(config, ProcessManagerConfig::default());
        assert_eq!((config.max_processes, config.max_service_processes), (65_536, 1024));
        assert_eq!((config.default_stack_size, config.default_memory_limit), (8 << 20, 256 << 20));
        assert_eq!((config.default_max_descriptors, config.accounting, config.monitoring), (1024, true, true));
        let seconds = [config.service_timeout, config.grace_period, config.emergency_timeout].map(Nanos::secs);
        assert_eq!(seconds, [30, 5, 10]);
    }

    #[test]
    fn every_value_can_be_configured() {
        let config = ProcessManagerConfig::configured(|name| {
            Some(match name {
                "process.max" => 100,
                "process.max_service" => 7,
                "process.stack_size" => 1 << 20,
                "process.memory_limit" => 2 << 20,
                "process.descriptors" => 64,
                "process.service_timeout_ms" => 1,
                "process.grace_ms" => 2,
                "process.emergency_ms" => 3,
                "process.accounting" | "process.monitoring" => 0,
                other => panic!("{other}"),
            })
        });
        let expected = ProcessManagerConfig {
            max_processes: 100,
            max_service_processes: 7,
            default_stack_size: 1 << 20,
            default_memory_limit: 2 << 20,
            default_max_descriptors: 64,
            service_timeout: Nanos::from_millis(1),
            grace_period: Nanos::from_millis(2),
            emergency_timeout: Nanos::from_millis(3),
            accounting: false,
            monitoring: false,
        };
        assert_eq!(config, expected);
        let silly = ProcessManagerConfig::configured(|_| Some(u64::MAX));
        assert_eq!((silly.max_processes, silly.grace_period), (65_536, Nanos(u64::MAX)));
    }
}
