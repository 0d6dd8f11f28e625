//! The initial stack of a program: strings, argument and environment vectors, auxiliary vector (System V AMD64 psABI 3.4.1).
//!
//! ```text
//! top ─►  8 zero bytes
//!         path of the program (AT_EXECFN)
//!         environment strings
//!         argument strings              adjacent and ascending, which programs that retitle themselves rely on
//!         "x86_64", 16 random bytes
//!         padding
//!         auxiliary vector
//!         environment pointers, 0
//!         argument pointers, 0
//! rsp ─►  argc                          16-byte aligned
//! ```

use alloc::vec::Vec;

use abi::linux::auxvec as aux;
use types::{Gid, PAGE_SIZE, Uid};

use crate::elf::{LoadPlan, PROGRAM_HEADER_SIZE};
use crate::script::Script;

/// Longest single string with its NUL (`MAX_ARG_STRLEN`).
pub const MAX_STRING: usize = 32 * PAGE_SIZE;
/// What arguments and environment may take at least, however small the stack limit (`ARG_MAX`).
const LIMIT_FLOOR: u64 = 128 * 1024;
/// What they may take at most: three quarters of the default stack of 8 MiB.
const LIMIT_CEILING: u64 = 6 * 1024 * 1024;
/// Bytes of strings for which room is made at least.
const SHORT: usize = 127;
/// Bytes of a pointer.
const WORD: u64 = 8;
/// Clock ticks per second (`AT_CLKTCK`), fixed by the interface.
const CLOCK_TICKS: u64 = 100;
/// Where `AT_PLATFORM` points.
const PLATFORM: &[u8] = b"x86_64\0";

/// Why a stack could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackError {
    /// A string or all together are too long (E2BIG).
    TooBig,
    /// Memory is short (ENOMEM).
    NoMemory,
}

/// NUL-terminated strings, one after the other.
#[derive(Clone, Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    count: u64,
}

impl Strings {
    fn push(&mut self, string: &[u8]) -> Result<(), StackError> {
        // Most vectors are short: room for a few strings at once.
        if self.bytes.capacity() - self.bytes.len() <= string.len() {
            self.bytes.try_reserve(string.len().max(SHORT) + 1).map_err(|_| StackError::NoMemory)?;
        }
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        self.count += 1;
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split_inclusive(|byte| *byte == 0).map(|string| string.strip_suffix(b"\0").unwrap_or(string))
    }
}

/// Arguments and environment of a program, checked as they come in: a quarter of the stack limit for all, with their
/// pointers, and [`MAX_STRING`] for each.
#[derive(Clone, Debug)]
pub struct Arguments {
    argv: Strings,
    envp: Strings,
    left: u64,
}

impl Arguments {
    /// No arguments yet, for a program whose `RLIMIT_STACK` is `stack_limit` bytes.
    pub fn new(stack_limit: u64) -> Self {
        let left = (stack_limit / 4).clamp(LIMIT_FLOOR, LIMIT_CEILING);
        Self { argv: Strings::default(), envp: Strings::default(), left }
    }

    /// Appends an argument, without its NUL.
    ///
    /// # Errors
    /// See [`StackError`]; nothing changed.
    pub fn push_argument(&mut self, string: &[u8]) -> Result<(), StackError> {
        let left = self.after(string)?;
        self.argv.push(string)?;
        self.left = left;
        Ok(())
    }

    /// Appends an environment string, without its NUL.
    ///
    /// # Errors
    /// See [`StackError`]; nothing changed.
    pub fn push_environment(&mut self, string: &[u8]) -> Result<(), StackError> {
        let left = self.after(string)?;
        self.envp.push(string)?;
        self.left = left;
        Ok(())
    }

    /// Puts a script's interpreter in front: the first argument becomes interpreter, its argument, `path` of the script.
    ///
    /// # Errors
    /// See [`StackError`]; the arguments are as before.
    pub fn prepend_interpreter(&mut self, script: &Script<'_>, path: &[u8]) -> Result<(), StackError> {
        let mut with = Self { argv: Strings::default(), envp: Strings::default(), left: self.left };
        let dropped = self.argv.iter().next().map_or(0, cost);
        with.left += dropped;
        with.push_argument(script.interpreter)?;
        if let Some(argument) = script.argument {
            with.push_argument(argument)?;
        }
        with.push_argument(path)?;
        let rest = self.argv.iter().skip(1);
        for argument in rest {
            with.argv.push(argument)?;
        }
        self.argv = with.argv;
        self.left = with.left;
        Ok(())
    }

    /// The arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.argv.iter()
    }

    /// The environment.
    pub fn environment(&self) -> impl Iterator<Item = &[u8]> {
        self.envp.iter()
    }

    fn after(&self, string: &[u8]) -> Result<u64, StackError> {
        if string.len() >= MAX_STRING {
            return Err(StackError::TooBig);
        }
        self.left.checked_sub(cost(string)).ok_or(StackError::TooBig)
    }
}

/// What a string takes: itself, its NUL and its pointer.
const fn cost(string: &[u8]) -> u64 {
    string.len() as u64 + 1 + WORD
}

/// What the auxiliary vector says besides the program's own figures.
#[derive(Clone, Copy, Debug)]
pub struct AuxInfo {
    /// Where the code that the kernel lends to programs is (`AT_SYSINFO_EHDR`).
    pub kernel_code: Option<u64>,
    /// Where the interpreter was loaded (`AT_BASE`), 0 for a static program.
    pub base: u64,
    /// Real user.
    pub uid: Uid,
    /// Effective user.
    pub euid: Uid,
    /// Real group.
    pub gid: Gid,
    /// Effective group.
    pub egid: Gid,
    /// Whether the program gained rights by being executed (`AT_SECURE`).
    pub secure: bool,
    /// Random bytes (`AT_RANDOM`).
    pub random: [u8; 16],
    /// CPUID leaf 1 EDX (`AT_HWCAP`).
    pub hwcap: u64,
    /// `AT_HWCAP2`: bit 1 says that FSGSBASE works.
    pub hwcap2: u64,
    /// Smallest stack a signal needs (`AT_MINSIGSTKSZ`).
    pub min_signal_stack: u64,
}

/// The initial stack: `bytes` go to `rsp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackImage {
    /// Initial stack pointer, 16-byte aligned.
    pub rsp: u64,
    /// All bytes from `rsp` to the top.
    pub bytes: Vec<u8>,
    /// Argument strings: first and one past the last address (/proc/PID/cmdline).
    pub arguments: (u64, u64),
    /// Environment strings, likewise (/proc/PID/environ).
    pub environment: (u64, u64),
    /// The auxiliary vector, likewise (/proc/PID/auxv).
    pub auxv: (u64, u64),
}

impl StackImage {
    /// Builds the stack that ends at `top` (16-byte aligned) for the program of `plan`, executed as `path`.
    ///
    /// # Errors
    /// [`StackError::NoMemory`], [`StackError::TooBig`] for a path that does not fit.
    pub fn build(
        top: u64,
        path: &[u8],
        arguments: &Arguments,
        plan: &LoadPlan,
        info: &AuxInfo,
    ) -> Result<Self, StackError> {
        // A program without any argument gets an empty one, as on Linux since 5.18: many rely on argv[0].
        let mut empty = Strings::default();
        let argv = if arguments.argv.count == 0 {
            empty.push(b"")?;
            &empty
        } else {
            &arguments.argv
        };
        let envp = &arguments.envp;
        if path.len() as u64 >= arguments.left {
            return Err(StackError::TooBig);
        }

        let below = |from: u64, len: usize| from.checked_sub(len as u64).ok_or(StackError::TooBig);
        let path_at = below(top, WORD as usize + path.len() + 1)?;
        let envp_at = below(path_at, envp.bytes.len())?;
        let argv_at = below(envp_at, argv.bytes.len())?;
        let platform_at = below(argv_at, PLATFORM.len())?;
        let random_at = below(platform_at, info.random.len())? & !15;
        let auxv = auxv(plan, info, [random_at, path_at, platform_at]);
        let vectors = (argv.count + 1 + envp.count + 1 + 1) * WORD;
        let rsp = below(random_at, vectors as usize + auxv.len() * 16)? & !15;
        let auxv_at = rsp + vectors;

        let size = usize::try_from(top - rsp).map_err(|_| StackError::TooBig)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| StackError::NoMemory)?;
        bytes.resize(size, 0);
        let mut words = bytes.as_chunks_mut::<8>().0.iter_mut();
        let mut put = |value: u64| {
            if let Some(word) = words.next() {
                *word = value.to_le_bytes();
            }
        };
        put(argv.count);
        for (strings, mut address) in [(argv, argv_at), (envp, envp_at)] {
            for string in strings.iter() {
                put(address);
                address += string.len() as u64 + 1;
            }
            put(0);
        }
        for (tag, value) in auxv {
            put(tag);
            put(value);
        }
        for (address, part) in [
            (random_at, &info.random[..]),
            (platform_at, PLATFORM),
            (argv_at, &argv.bytes),
            (envp_at, &envp.bytes),
            (path_at, path),
        ] {
            let at = (address - rsp) as usize;
            if let Some(place) = at.checked_add(part.len()).and_then(|end| bytes.get_mut(at..end)) {
                place.copy_from_slice(part);
            }
        }
        Ok(Self {
            rsp,
            bytes,
            arguments: (argv_at, envp_at),
            environment: (envp_at, path_at),
            auxv: (auxv_at, auxv_at + auxv.len() as u64 * 16),
        })
    }
}

/// The auxiliary vector in Linux's order; `places` are random bytes, path, platform.
fn auxv(plan: &LoadPlan, info: &AuxInfo, places: [u64; 3]) -> [(u64, u64); 21] {
    let [random, path, platform] = places;
    [
        info.kernel_code.map_or((aux::AT_IGNORE, 0), |address| (aux::AT_SYSINFO_EHDR, address)),
        (aux::AT_MINSIGSTKSZ, info.min_signal_stack),
        (aux::AT_HWCAP, info.hwcap),
        (aux::AT_PAGESZ, PAGE_SIZE as u64),
        (aux::AT_CLKTCK, CLOCK_TICKS),
        (aux::AT_PHDR, plan.program_headers),
        (aux::AT_PHENT, PROGRAM_HEADER_SIZE as u64),
        (aux::AT_PHNUM, u64::from(plan.program_header_count)),
        (aux::AT_BASE, info.base),
        (aux::AT_FLAGS, 0),
        (aux::AT_ENTRY, plan.entry),
        (aux::AT_UID, u64::from(info.uid.0)),
        (aux::AT_EUID, u64::from(info.euid.0)),
        (aux::AT_GID, u64::from(info.gid.0)),
        (aux::AT_EGID, u64::from(info.egid.0)),
        (aux::AT_SECURE, u64::from(info.secure)),
        (aux::AT_RANDOM, random),
        (aux::AT_HWCAP2, info.hwcap2),
        (aux::AT_EXECFN, path),
        (aux::AT_PLATFORM, platform),
        (aux::AT_NULL, 0),
    ]
    .map(|(tag, value)| (u64::from(tag), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ElfKind;
    use std::collections::HashMap;
    use std::string::String;

    const TOP: u64 = 0x7fff_ffff_0000;

    fn plan() -> LoadPlan {
        LoadPlan {
            kind: ElfKind::Fixed,
            bias: 0,
            segments: Vec::new(),
            entry: 0x40_1000,
            program_headers: 0x40_0040,
            program_header_count: 4,
            brk_start: 0x50_0000,
            code: (0, 0),
            data: (0, 0),
            executable_stack: false,
            interpreter: None,
        }
    }

    fn info() -> AuxInfo {
        AuxInfo {
            kernel_code: None,
            base: 0,
            uid: Uid(1),
            euid: Uid(2),
            gid: Gid(3),
            egid: Gid(4),
            secure: true,
            random: *b"0123456789abcdef",
            hwcap: 5,
            hwcap2: 2,
            min_signal_stack: 3000,
        }
    }

    struct Memory<'a>(&'a StackImage);

    impl Memory<'_> {
        fn word(&self, address: u64) -> u64 {
            let at = (address - self.0.rsp) as usize;
            u64::from_le_bytes(self.0.bytes[at..at + 8].try_into().unwrap())
        }

        fn string(&self, address: u64) -> String {
            let at = (address - self.0.rsp) as usize;
            let bytes = self.0.bytes[at..].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        }
    }

    fn build(argv: &[&str], envp: &[&str]) -> StackImage {
        let mut arguments = Arguments::new(8 << 20);
        argv.iter().for_each(|a| arguments.push_argument(a.as_bytes()).unwrap());
        envp.iter().for_each(|e| arguments.push_environment(e.as_bytes()).unwrap());
        StackImage::build(TOP, b"/bin/prog", &arguments, &plan(), &info()).unwrap()
    }

    #[test]
    fn a_program_finds_its_arguments_environment_and_auxiliary_vector() {
        for padding in 0..20 {
            let long = "x".repeat(padding);
            let image = build(&["prog", "", &long], &["A=1", "B="]);
            assert_eq!(image.rsp % 16, 0);
            assert_eq!(image.rsp + image.bytes.len() as u64, TOP);
            let memory = Memory(&image);
            assert_eq!(memory.word(image.rsp), 3);
            let argv: std::vec::Vec<_> = (1..4).map(|i| memory.string(memory.word(image.rsp + i * 8))).collect();
            assert_eq!(argv, ["prog", "", &long]);
            assert_eq!(memory.word(image.rsp + 32), 0);
            assert_eq!(memory.string(memory.word(image.rsp + 40)), "A=1");
            assert_eq!(memory.string(memory.word(image.rsp + 48)), "B=");
            assert_eq!(memory.word(image.rsp + 56), 0);
            assert_eq!(image.auxv.0, image.rsp + 64);
            let mut vector = HashMap::new();
            let mut at = image.auxv.0;
            while memory.word(at) != 0 {
                vector.insert(memory.word(at) as u32, memory.word(at + 8));
                at += 16;
            }
            assert_eq!(at + 16, image.auxv.1);
            assert_eq!(vector[&aux::AT_PHDR], 0x40_0040);
            assert_eq!(vector[&aux::AT_ENTRY], 0x40_1000);
            assert_eq!((vector[&aux::AT_UID], vector[&aux::AT_EGID], vector[&aux::AT_SECURE]), (1, 4, 1));
            assert_eq!(memory.string(vector[&aux::AT_EXECFN]), "/bin/prog");
            assert_eq!(memory.string(vector[&aux::AT_PLATFORM]), "x86_64");
            let random = (vector[&aux::AT_RANDOM] - image.rsp) as usize;
            assert_eq!(&image.bytes[random..random + 16], b"0123456789abcdef");
            assert!(!vector.contains_key(&aux::AT_SYSINFO_EHDR));
            assert_eq!(memory.word(TOP - 8), 0);
        }
    }

    #[test]
    fn an_empty_argument_list_becomes_one_empty_argument() {
        let image = build(&[], &["A=1"]);
        let memory = Memory(&image);
        assert_eq!(memory.word(image.rsp), 1);
        assert_eq!(memory.string(memory.word(image.rsp + 8)), "");
        assert_eq!(memory.word(image.rsp + 16), 0);
    }

    #[test]
    fn strings_lie_next_to_each_other_in_order() {
        let image = build(&["a", "bc"], &["D=e"]);
        let at = (image.arguments.0 - image.rsp) as usize;
        assert_eq!(&image.bytes[at..at + 9], b"a\0bc\0D=e\0");
        assert_eq!(image.arguments.1, image.environment.0);
    }

    #[test]
    fn a_string_of_128_kib_and_a_quarter_of_the_stack_are_the_limits() {
        let mut arguments = Arguments::new(8 << 20);
        assert_eq!(arguments.push_argument(&std::vec![b'x'; MAX_STRING]), Err(StackError::TooBig));
        let longest = std::vec![b'x'; MAX_STRING - 1];
        let mut pushed = 0_u64;
        while arguments.push_argument(&longest).is_ok() {
            pushed += 1;
        }
        assert_eq!(pushed, (2 << 20) / (MAX_STRING as u64 + 8));
        let mut small = Arguments::new(0);
        assert_eq!(small.push_environment(&longest), Err(StackError::TooBig), "the pointer counts as well");
        assert_eq!(small.push_environment(&longest[8..]), Ok(()));
        assert_eq!(small.push_argument(b""), Err(StackError::TooBig));
        assert_eq!(StackImage::build(TOP, b"/", &small, &plan(), &info()), Err(StackError::TooBig));
    }

    #[test]
    fn a_script_replaces_the_first_argument() {
        let mut arguments = Arguments::new(8 << 20);
        for argument in ["old", "one", "two"] {
            arguments.push_argument(argument.as_bytes()).unwrap();
        }
        let script = Script { interpreter: b"/bin/sh", argument: Some(b"-e") };
        arguments.prepend_interpreter(&script, b"./run").unwrap();
        assert!(arguments.arguments().eq([&b"/bin/sh"[..], b"-e", b"./run", b"one", b"two"]));
    }
}
