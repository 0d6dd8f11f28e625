//! Tracing of process operations (feature `process-debug`).

/// Logs one operation as `[PM] ...`.
macro_rules! trace {
    ($($part:tt)*) => {
        log::info!(target: "process", "[PM] {}", format_args!($($part)*))
    };
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::sync::Mutex;
    use std::vec::Vec;

    use crate::testing::World;

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    struct Collect;

    impl log::Log for Collect {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            LINES.lock().unwrap().push(record.args().to_string());
        }

        fn flush(&self) {}
    }

    #[test]
    fn every_operation_is_traced_with_the_prefix() {
        log::set_logger(&Collect).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let world = World::new();
        let child = world.fork(&world.init);
        let number = child.pid().0;
        world.send(&child, abi::Signal::USR1);
        world.exit(&child, 3);
        world.wait(&world.init).unwrap();
        let lines = LINES.lock().unwrap();
        for part in ["clone: parent=1 child=", "signal: pid=", "exit: pid=", "reap: pid=", "wait: parent=1 child="] {
            let found = lines.iter().any(|line| line.starts_with("[PM] ") && line.contains(part));
            assert!(found, "{part} for {number} in {lines:?}");
        }
    }
}
