//! A stream of archive bytes, lent in pieces.

use super::CpioErrorKind;

/// Where archive bytes come from.
pub(super) trait Source {
    /// The next bytes, none at the end. They stay until [`Source::consume`].
    fn peek(&mut self) -> Result<&[u8], CpioErrorKind>;
    /// Goes on by `count` of the bytes last shown.
    fn consume(&mut self, count: usize);
    /// Bytes consumed so far.
    fn offset(&self) -> u64;
}

/// Bytes as they are.
pub(super) struct Plain<'a> {
    pub(super) rest: &'a [u8],
    pub(super) offset: u64,
}

impl Source for Plain<'_> {
    fn peek(&mut self) -> Result<&[u8], CpioErrorKind> {
        Ok(self.rest)
    }

    fn consume(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or(&[]);
        self.offset += count as u64;
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}

/// Reads exactly `out.len()` bytes.
pub(super) fn read_exact(source: &mut dyn Source, out: &mut [u8]) -> Result<(), CpioErrorKind> {
    let mut rest = out;
    while !rest.is_empty() {
        let bytes = source.peek()?;
        if bytes.is_empty() {
            return Err(CpioErrorKind::Truncated);
        }
        let count = bytes.len().min(rest.len());
        let (part, tail) = rest.split_at_mut_checked(count).unwrap_or((&mut [], &mut []));
        part.copy_from_slice(bytes.get(..count).unwrap_or(&[]));
        rest = tail;
        source.consume(count);
    }
    Ok(())
}

/// Skips to the next multiple of four.
pub(super) fn align(source: &mut dyn Source) -> Result<(), CpioErrorKind> {
    let padding = (source.offset().wrapping_neg() & 3) as usize;
    let mut scratch = [0; 3];
    read_exact(source, scratch.get_mut(..padding).unwrap_or(&mut []))
}
