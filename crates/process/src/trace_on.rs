//! Tracing of process operations (feature `process-debug`).

/// Logs one operation as `[PM] ...`.
macro_rules! trace {
    ($($part:tt)*) => {
        log::debug!(target: "process", "[PM] {}", format_args!($($part)*))
    };
}
