//! Decompression of one gzip member (RFC 1952) with a bounded window.

use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::CpioErrorKind;
use super::source::Source;

/// Decompressed bytes made at a time.
const WINDOW: usize = 32 * 1024;

const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// A gzip member being decompressed.
pub(super) struct Gzip<'a> {
    input: &'a [u8],
    state: Box<InflateState>,
    window: Vec<u8>,
    // The part of the window that was not consumed yet.
    start: usize,
    end: usize,
    crc: u32,
    made: u64,
    offset: u64,
    finished: bool,
}

impl<'a> Gzip<'a> {
    /// Whether `image` begins like a gzip member.
    pub(super) fn is_here(image: &[u8]) -> bool {
        image.starts_with(&[0x1f, 0x8b])
    }

    pub(super) fn new(image: &'a [u8]) -> Result<Self, CpioErrorKind> {
        let input = skip_header(image)?;
        let mut window = Vec::new();
        window.try_reserve_exact(WINDOW).map_err(|_| CpioErrorKind::FileSystem(crate::VfsError::NoMemory))?;
        window.resize(WINDOW, 0);
        let state = InflateState::new_boxed(DataFormat::Raw);
        Ok(Self { input, state, window, start: 0, end: 0, crc: !0, made: 0, offset: 0, finished: false })
    }

    /// What follows the member, once it is finished.
    pub(super) fn remainder(self) -> &'a [u8] {
        self.input
    }

    fn fill(&mut self) -> Result<(), CpioErrorKind> {
        while self.start == self.end && !self.finished {
            let result = inflate(&mut self.state, self.input, &mut self.window, MZFlush::None);
            self.input = self.input.get(result.bytes_consumed..).unwrap_or(&[]);
            self.start = 0;
            self.end = result.bytes_written.min(self.window.len());
            let made = self.window.get(..self.end).unwrap_or(&[]);
            self.crc = crc32(self.crc, made);
            self.made += made.len() as u64;
            match result.status {
                Ok(MZStatus::StreamEnd) => self.finish()?,
                Ok(_) if self.end != 0 || (result.bytes_consumed != 0 && !self.input.is_empty()) => {}
                Ok(_) | Err(MZError::Buf) => return Err(CpioErrorKind::Truncated),
                Err(_) => return Err(CpioErrorKind::BadCompression),
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), CpioErrorKind> {
        let (trailer, rest) = self.input.split_first_chunk::<8>().ok_or(CpioErrorKind::Truncated)?;
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if u32::from_le_bytes([c0, c1, c2, c3]) != !self.crc || length != self.made as u32 {
            return Err(CpioErrorKind::BadChecksum);
        }
        self.input = rest;
        self.finished = true;
        Ok(())
    }
}

impl Source for Gzip<'_> {
    fn peek(&mut self) -> Result<&[u8], CpioErrorKind> {
        self.fill()?;
        Ok(self.window.get(self.start..self.end).unwrap_or(&[]))
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        self.offset += count as u64;
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}

fn skip_header(image: &[u8]) -> Result<&[u8], CpioErrorKind> {
    let (header, mut rest) = image.split_first_chunk::<10>().ok_or(CpioErrorKind::Truncated)?;
    let [_, _, method, flags, ..] = *header;
    if method != 8 || flags & RESERVED != 0 {
        return Err(CpioErrorKind::BadCompression);
    }
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(CpioErrorKind::Truncated)?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..).ok_or(CpioErrorKind::Truncated)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(CpioErrorKind::Truncated)?;
            rest = rest.get(end + 1..).unwrap_or(&[]);
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(CpioErrorKind::Truncated)?;
    }
    Ok(rest)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte] = crc;
        }
        byte += 1;
    }
    table
};

fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        let entry = CRC_TABLE.get(usize::from(crc as u8 ^ byte)).copied().unwrap_or(0);
        (crc >> 8) ^ entry
    })
}
