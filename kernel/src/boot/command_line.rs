//! The kernel command line: words, `key=value`, Linux's names where Linux has one.

/// A parsed view of the command line; everything after a word `--` belongs to init.
#[derive(Clone, Copy)]
pub(crate) struct CommandLine<'a>(pub(crate) &'a str);

impl<'a> CommandLine<'a> {
    fn words(self) -> impl Iterator<Item = &'a str> {
        self.0.split_ascii_whitespace().take_while(|word| *word != "--")
    }

    /// Whether that word is there.
    pub(crate) fn has(self, word: &str) -> bool {
        self.words().any(|other| other == word)
    }

    /// Value of the last `key=value`.
    pub(crate) fn value(self, key: &str) -> Option<&'a str> {
        self.values(key).last()
    }

    /// Values of each `key=value`, in their order.
    pub(crate) fn values(self, key: &str) -> impl Iterator<Item = &'a str> {
        self.words().filter_map(move |word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// Value of the last `key=number`, decimal or 0x….
    pub(crate) fn number(self, key: &str) -> Option<u64> {
        let value = self.value(key)?;
        match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => value.parse().ok(),
        }
    }

    /// Words after `--`: arguments of init.
    pub(crate) fn init_arguments(self) -> impl Iterator<Item = &'a str> {
        self.0.split_ascii_whitespace().skip_while(|word| *word != "--").skip(1)
    }
}
