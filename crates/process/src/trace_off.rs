//! Tracing of process operations, switched off: the arguments are checked and nothing is compiled.

/// Logs nothing.
macro_rules! trace {
    ($($part:tt)*) => {
        if false {
            let _ = format_args!($($part)*);
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_are_not_even_looked_at() {
        let looked = core::cell::Cell::new(0);
        let look = || looked.replace(looked.get() + 1);
        trace!("{} {}", look(), look());
        assert_eq!(looked.get(), 0);
    }
}
