//! How an ELF program is to be loaded: from its first bytes to a list of mappings (elf(5), System V gABI ch. 4 and 5).
//!
//! Three steps, so that nobody reads a file here: [`ElfHeader::parse`] on the first bytes, [`LoadPlan::new`] on the program
//! headers that the header names, then the caller maps what the plan says. Every number in a file is hostile; a program
//! that is refused leaves the caller's address space untouched, since nothing happened yet.

use abi::linux::general as linux;
use abi::{Errno, Wire, abi_struct};
use alloc::vec::Vec;
use types::{PAGE_SIZE, USER_END};
use xmas_elf::header::{Class, Data, HeaderPt2, Machine, Type, Version, parse_header};

/// Bytes of an ELF64 header: what [`ElfHeader::parse`] needs at least.
pub const ELF_HEADER_SIZE: usize = 64;
/// Bytes of one program header.
pub const PROGRAM_HEADER_SIZE: usize = 56;
/// Longest table of program headers, as on Linux.
const MAX_TABLE: usize = 65_536;
/// Longest path of an interpreter, with its NUL.
const MAX_INTERPRETER: u64 = 4096;

const PAGE: u64 = PAGE_SIZE as u64;

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;

const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

/// Why a file cannot be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// Not an ELF file: perhaps a script (ENOEXEC).
    NotElf,
    /// ELF, but not for 64-bit x86, little endian (ENOEXEC).
    WrongMachine,
    /// Neither an executable nor a shared object (ENOEXEC).
    WrongType,
    /// The header contradicts itself (ENOEXEC).
    BadHeader,
    /// The file ends before what its headers promise (ENOEXEC).
    Truncated,
    /// Nothing to load, or the entry point is not in executable memory (ENOEXEC).
    NoCode,
    /// A segment that cannot be mapped: bad sizes, alignment or overlap (EINVAL).
    BadSegment,
    /// A segment that is writable and executable at once (EACCES).
    WritableCode,
    /// It does not fit into user space (ENOMEM).
    TooLarge,
    /// It needs an interpreter (a dynamic linker) that is not there (ENOENT).
    NoInterpreter,
    /// Memory is short (ENOMEM).
    NoMemory,
}

impl From<ElfError> for Errno {
    fn from(error: ElfError) -> Self {
        match error {
            ElfError::NotElf
            | ElfError::WrongMachine
            | ElfError::WrongType
            | ElfError::BadHeader
            | ElfError::Truncated
            | ElfError::NoCode => Self::ENOEXEC,
            ElfError::BadSegment => Self::EINVAL,
            ElfError::WritableCode => Self::EACCES,
            ElfError::TooLarge | ElfError::NoMemory => Self::ENOMEM,
            ElfError::NoInterpreter => Self::ENOENT,
        }
    }
}

/// Where a program wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfKind {
    /// At the addresses in the file (`ET_EXEC`).
    Fixed,
    /// Anywhere: static PIE or shared object (`ET_DYN`).
    Relocatable,
}

/// What the first 64 bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElfHeader {
    /// Where it wants to be.
    pub kind: ElfKind,
    /// Entry point, before relocation.
    pub entry: u64,
    /// Where in the file the program headers are.
    pub table_offset: u64,
    /// How many there are.
    pub table_count: u16,
}

impl ElfHeader {
    /// Reads the header from the first bytes of a file.
    ///
    /// # Errors
    /// [`ElfError::NotElf`], [`ElfError::WrongMachine`], [`ElfError::WrongType`], [`ElfError::BadHeader`].
    pub fn parse(head: &[u8]) -> Result<Self, ElfError> {
        // The parser wants its input aligned.
        #[repr(align(16))]
        struct Aligned([u8; ELF_HEADER_SIZE]);

        if !head.starts_with(&xmas_elf::header::MAGIC) {
            return Err(ElfError::NotElf);
        }
        let mut bytes = Aligned([0; ELF_HEADER_SIZE]);
        bytes.0.copy_from_slice(head.get(..ELF_HEADER_SIZE).ok_or(ElfError::NotElf)?);
        let header = parse_header(&bytes.0).map_err(|_| ElfError::WrongMachine)?;
        let HeaderPt2::Header64(fields) = header.pt2 else { return Err(ElfError::WrongMachine) };
        if header.pt1.class() != Class::SixtyFour
            || header.pt1.data() != Data::LittleEndian
            || fields.machine.as_machine() != Machine::X86_64
        {
            return Err(ElfError::WrongMachine);
        }
        if header.pt1.version() != Version::Current {
            return Err(ElfError::BadHeader);
        }
        let kind = match fields.type_.as_type() {
            Type::Executable => ElfKind::Fixed,
            Type::SharedObject => ElfKind::Relocatable,
            _ => return Err(ElfError::WrongType),
        };
        let table = usize::from(fields.ph_count) * PROGRAM_HEADER_SIZE;
        if usize::from(fields.ph_entry_size) != PROGRAM_HEADER_SIZE || table == 0 || table > MAX_TABLE {
            return Err(ElfError::BadHeader);
        }
        Ok(Self { kind, entry: fields.entry_point, table_offset: fields.ph_offset, table_count: fields.ph_count })
    }

    /// Bytes of the program headers at [`ElfHeader::table_offset`].
    pub fn table_size(&self) -> usize {
        usize::from(self.table_count) * PROGRAM_HEADER_SIZE
    }
}

abi_struct! {
    /// `Elf64_Phdr`.
    pub struct ProgramHeader {
        /// `PT_` type.
        pub p_type: u32,
        /// `PF_` flags.
        pub p_flags: u32,
        /// Offset in the file.
        pub p_offset: u64,
        /// Address in memory.
        pub p_vaddr: u64,
        /// Unused.
        pub p_paddr: u64,
        /// Bytes from the file.
        pub p_filesz: u64,
        /// Bytes in memory.
        pub p_memsz: u64,
        /// Alignment.
        pub p_align: u64,
    }
}

/// Rights of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

impl Protection {
    /// `PROT_` bits for mmap.
    pub const fn bits(self) -> u32 {
        (if self.read { linux::PROT_READ } else { 0 })
            | (if self.write { linux::PROT_WRITE } else { 0 })
            | (if self.execute { linux::PROT_EXEC } else { 0 })
    }
}

/// One `PT_LOAD`, relocated: map `file_pages` pages of the file at `address`, private; zero `zero_len` bytes at `zero_start`
/// (the rest of the last file page, which holds the start of the bss); map `anonymous_pages` zero pages after.
///
/// Segments may share a page of the file: each gets its own copy of it. Where two would share a page of *memory* and it is
/// the same page of the file, the later one has it, as on Linux; anything else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address, page-aligned.
    pub address: u64,
    /// Rights.
    pub protection: Protection,
    /// Offset of the first page in the file, page-aligned.
    pub file_offset: u64,
    /// Pages mapped from the file; the last one may go beyond its end.
    pub file_pages: u64,
    /// Where the part to be zeroed starts.
    pub zero_start: u64,
    /// Its length, less than a page; zero if there is no bss.
    pub zero_len: u64,
    /// Zero pages behind the file pages.
    pub anonymous_pages: u64,
}

impl Segment {
    /// First address of the zero pages.
    pub const fn anonymous_start(&self) -> u64 {
        self.address + self.file_pages * PAGE
    }

    /// One past the last address.
    pub const fn end(&self) -> u64 {
        self.anonymous_start() + self.anonymous_pages * PAGE
    }

    /// Leaves its last page to the next segment, whose first page is at `file_offset` in the file.
    const fn give_up_last_page(&mut self, file_offset: u64) -> Result<(), ElfError> {
        let Some(pages) = self.file_pages.checked_sub(1) else { return Err(ElfError::BadSegment) };
        if self.zero_len != 0 || self.anonymous_pages != 0 || self.file_offset + pages * PAGE != file_offset {
            return Err(ElfError::BadSegment);
        }
        self.file_pages = pages;
        self.zero_start = self.anonymous_start();
        Ok(())
    }
}

/// Whether a segment may be writable and executable at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritableCode {
    /// Refused: the default.
    Refuse,
    /// Mapped as asked.
    Allow,
}

/// Everything exec must know to load a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadPlan {
    /// Where it wants to be.
    pub kind: ElfKind,
    /// What was added to the addresses in the file.
    pub bias: u64,
    /// What to map, ascending.
    pub segments: Vec<Segment>,
    /// First instruction (`AT_ENTRY`).
    pub entry: u64,
    /// Where the program headers are in memory (`AT_PHDR`), 0 if no segment holds them.
    pub program_headers: u64,
    /// How many there are (`AT_PHNUM`).
    pub program_header_count: u16,
    /// First address of the heap: the page after the last segment.
    pub brk_start: u64,
    /// Executable segments, for /proc/PID/stat: lowest and one past the highest address.
    pub code: (u64, u64),
    /// Writable segments, likewise; the end counts the file's part only.
    pub data: (u64, u64),
    /// Whether the program asks for an executable stack.
    pub executable_stack: bool,
    /// Where the path of the interpreter is in the file (offset, bytes with the NUL): a dynamically linked program.
    pub interpreter: Option<(u64, u64)>,
}

impl LoadPlan {
    /// Plans the load of the file of `file_size` bytes with that `header` and `table` of program headers.
    ///
    /// A relocatable program goes to `base` or the next address that suits its alignment; a fixed one ignores `base`.
    ///
    /// # Errors
    /// See [`ElfError`].
    pub fn new(
        header: &ElfHeader,
        table: &[u8],
        file_size: u64,
        base: u64,
        writable_code: WritableCode,
    ) -> Result<Self, ElfError> {
        let table = table.get(..header.table_size()).ok_or(ElfError::Truncated)?;
        let loads = || program_headers(table).filter(|ph| ph.p_type == PT_LOAD && ph.p_memsz != 0);
        let mut segments = Vec::new();
        segments.try_reserve_exact(loads().count()).map_err(|_| ElfError::NoMemory)?;
        let bias = bias(header.kind, loads(), base)?;
        let mut plan = Self {
            kind: header.kind,
            bias,
            segments,
            entry: header.entry.wrapping_add(bias),
            program_headers: 0,
            program_header_count: header.table_count,
            brk_start: 0,
            code: (0, 0),
            data: (0, 0),
            executable_stack: false,
            interpreter: None,
        };
        let mut used = 0;
        for ph in loads() {
            used = plan.add(&ph, file_size, used, writable_code)?;
        }
        let last = plan.segments.last().ok_or(ElfError::NoCode)?;
        plan.brk_start = last.end();
        for ph in program_headers(table) {
            plan.note(&ph, file_size)?;
        }
        plan.program_headers = locate_table(header, table).map_or(0, |address| address.wrapping_add(bias));
        let runs = |s: &Segment| s.protection.execute && (s.address..s.end()).contains(&plan.entry);
        if plan.segments.iter().any(runs) { Ok(plan) } else { Err(ElfError::NoCode) }
    }

    /// Adds a segment behind those that end at `used`; where it ends.
    fn add(
        &mut self,
        ph: &ProgramHeader,
        file_size: u64,
        used: u64,
        writable_code: WritableCode,
    ) -> Result<u64, ElfError> {
        let in_page = ph.p_vaddr % PAGE;
        if ph.p_filesz > ph.p_memsz || ph.p_filesz != 0 && ph.p_offset % PAGE != in_page {
            return Err(ElfError::BadSegment);
        }
        if ph.p_offset.checked_add(ph.p_filesz).is_none_or(|end| end > file_size) {
            return Err(ElfError::Truncated);
        }
        let start = ph.p_vaddr.checked_add(self.bias).ok_or(ElfError::TooLarge)?;
        let memory_end = start.checked_add(ph.p_memsz).filter(|end| *end <= USER_END).ok_or(ElfError::TooLarge)?;
        let address = start - in_page;
        if start < used {
            return Err(ElfError::BadSegment);
        }
        let file_offset = if ph.p_filesz == 0 { 0 } else { ph.p_offset - in_page };
        if let Some(previous) = self.segments.last_mut()
            && address < previous.end()
        {
            if ph.p_filesz == 0 {
                return Err(ElfError::BadSegment);
            }
            previous.give_up_last_page(file_offset)?;
        }
        let protection =
            Protection { read: ph.p_flags & PF_R != 0, write: ph.p_flags & PF_W != 0, execute: ph.p_flags & PF_X != 0 };
        if protection.write && protection.execute && writable_code == WritableCode::Refuse {
            return Err(ElfError::WritableCode);
        }
        let file_end = start + ph.p_filesz;
        let file_pages = if ph.p_filesz == 0 { 0 } else { (file_end - address).div_ceil(PAGE) };
        let pages = (memory_end - address).div_ceil(PAGE);
        let mapped_end = address + file_pages * PAGE;
        let zero_len = if ph.p_memsz > ph.p_filesz { mapped_end.saturating_sub(file_end) } else { 0 };
        self.segments.push(Segment {
            address,
            protection,
            file_offset,
            file_pages,
            zero_start: if zero_len == 0 { mapped_end } else { file_end },
            zero_len,
            anonymous_pages: pages - file_pages,
        });
        if protection.execute {
            self.code = span(self.code, start, memory_end);
        }
        if protection.write {
            self.data = span(self.data, start, file_end);
        }
        Ok(memory_end)
    }

    fn note(&mut self, ph: &ProgramHeader, file_size: u64) -> Result<(), ElfError> {
        match ph.p_type {
            PT_GNU_STACK => self.executable_stack = ph.p_flags & PF_X != 0,
            PT_INTERP => {
                if ph.p_filesz < 2 || ph.p_filesz > MAX_INTERPRETER {
                    return Err(ElfError::BadHeader);
                }
                if ph.p_offset.checked_add(ph.p_filesz).is_none_or(|end| end > file_size) {
                    return Err(ElfError::Truncated);
                }
                self.interpreter = Some((ph.p_offset, ph.p_filesz));
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses programs that need a dynamic linker.
    ///
    /// # Errors
    /// [`ElfError::NoInterpreter`].
    pub const fn require_static(&self) -> Result<(), ElfError> {
        if self.interpreter.is_some() { Err(ElfError::NoInterpreter) } else { Ok(()) }
    }

    /// Lowest and one past the highest address mapped.
    pub fn extent(&self) -> (u64, u64) {
        let start = self.segments.first().map_or(0, |first| first.address);
        (start, self.brk_start)
    }
}

fn program_headers(table: &[u8]) -> impl Iterator<Item = ProgramHeader> {
    table.as_chunks::<PROGRAM_HEADER_SIZE>().0.iter().map(ProgramHeader::from_bytes)
}

/// What to add to every address.
fn bias(kind: ElfKind, loads: impl Iterator<Item = ProgramHeader>, base: u64) -> Result<u64, ElfError> {
    if kind == ElfKind::Fixed {
        return Ok(0);
    }
    let mut lowest = None;
    let mut align = PAGE;
    for ph in loads {
        lowest.get_or_insert(ph.p_vaddr & !(PAGE - 1));
        if ph.p_align.is_power_of_two() {
            align = align.max(ph.p_align);
        }
    }
    let lowest = lowest.ok_or(ElfError::NoCode)?;
    // The alignment is of `address modulo p_align`, as in the file: the bias itself is a multiple of it.
    let wanted = base.max(PAGE).saturating_sub(lowest);
    let bias = wanted.checked_next_multiple_of(align).ok_or(ElfError::TooLarge)?;
    if bias >= USER_END { Err(ElfError::TooLarge) } else { Ok(bias) }
}

/// Address of the program headers in memory: `PT_PHDR`, else the segment that loads that part of the file.
fn locate_table(header: &ElfHeader, table: &[u8]) -> Option<u64> {
    if let Some(ph) = program_headers(table).find(|ph| ph.p_type == PT_PHDR) {
        return Some(ph.p_vaddr);
    }
    program_headers(table)
        .filter(|ph| ph.p_type == PT_LOAD)
        .find(|ph| header.table_offset >= ph.p_offset && header.table_offset - ph.p_offset < ph.p_filesz)
        .and_then(|ph| ph.p_vaddr.checked_add(header.table_offset - ph.p_offset))
}

fn span(old: (u64, u64), start: u64, end: u64) -> (u64, u64) {
    if old.1 == 0 { (start, end) } else { (old.0.min(start), old.1.max(end)) }
}

#[cfg(test)]
mod tests;
