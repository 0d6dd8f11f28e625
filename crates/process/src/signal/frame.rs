//! The frame a signal handler runs on, byte for byte Linux's `struct rt_sigframe` of x86-64.
//!
//! ```text
//!   old rsp ─►┌───────────────────┐
//!             │ red zone 128      │  not used by a frame on the alternate stack
//!             ├───────────────────┤◄─ 64-byte aligned start + size + 4
//!             │ XSAVE area, magic │
//!  fp address►├───────────────────┤  64-byte aligned
//!             │ siginfo 128       │
//!             │ ucontext 304      │
//!             │ return address 8  │  SA_RESTORER
//!     new rsp►└───────────────────┘  16n + 8
//! ```
//!
//! Nothing here touches user memory: [`build`] and [`seal_fp`] say what to write where, [`SavedFrame::parse`] and [`read_fp`]
//! judge what was read back. Everything read back is hostile: a program may have written any bytes there.

use abi::linux::general as linux;
use abi::{SigSet, SigaltStack, Wire};
use hal::UserContext;
use types::USER_END;

use super::info::read_array;
use super::{ActionFlags, AltStack, AltStackError, Caught, MINSIGSTKSZ, SIGINFO_SIZE};

/// Bytes of a frame below the XSAVE area.
pub const FRAME_SIZE: usize = 440;
/// Bytes of a frame that sigreturn needs: all before the siginfo.
pub const SAVED_SIZE: usize = INFO;
/// Bytes of the legacy part of an XSAVE area (`FXSAVE`).
pub const FXSAVE_SIZE: usize = 512;
/// Bytes that follow the XSAVE area in a frame.
pub const MAGIC2_SIZE: usize = 4;

const UC: usize = 8;
const UC_STACK: usize = UC + 16;
const MCONTEXT: usize = UC + 40;
const MC_SEGMENTS: usize = MCONTEXT + 144;
const MC_FPSTATE: usize = MCONTEXT + 184;
const UC_SIGMASK: usize = UC + 296;
const INFO: usize = UC + 304;

const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// `sw_reserved` in the legacy area: what the frame says about itself.
const SW_RESERVED: usize = 464;
const XSAVE_HEADER: usize = 512;
const XSAVE_HEADER_SIZE: usize = 64;
const MXCSR: usize = 24;
/// x87 and SSE: what FXSAVE holds.
const LEGACY_FEATURES: u64 = 3;

const RED_ZONE: u64 = 128;

const FLAG_TF: u64 = 1 << 8;
const FLAG_DF: u64 = 1 << 10;
const FLAG_RF: u64 = 1 << 16;
/// Flags that sigreturn sets from the frame: CF PF AF ZF SF TF DF OF RF AC. Not IF, IOPL, NT, VM, VIF, VIP.
const RESTORED_FLAGS: u64 = 0x5_0dd5;

/// Why a frame could not be built or taken back: the thread gets SIGSEGV
/// ([`super::ProcessSignals::force_bad_frame`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The action has no restorer, so that the handler could not return.
    NoRestorer,
    /// The handler is not a user address.
    BadHandler,
    /// The frame does not fit below the stack pointer or on the alternate stack.
    NoRoom,
    /// Segments that no user program has.
    BadSegments,
    /// Not a user address to return to.
    BadInstructionPointer,
    /// The saved floating-point state holds what would fault in the kernel.
    BadFpState,
}

/// The XSAVE area of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FpLayout {
    /// Bytes of the standard-format area; [`FXSAVE_SIZE`] on a machine without XSAVE.
    pub size: usize,
    /// Components enabled for user programs (XCR0).
    pub features: u64,
    /// MXCSR bits that may be set (`MXCSR_MASK` of FXSAVE, `0xffbf` at least).
    pub mxcsr_mask: u32,
}

impl FpLayout {
    /// A machine with x87 and SSE only.
    pub const LEGACY: Self = Self { size: FXSAVE_SIZE, features: LEGACY_FEATURES, mxcsr_mask: 0xffbf };

    /// Bytes that the area takes in a frame.
    pub const fn in_frame(&self) -> usize {
        if self.has_xsave() { self.size + MAGIC2_SIZE } else { self.size }
    }

    /// Value of `AT_MINSIGSTKSZ`: the largest frame with its alignment.
    pub const fn min_stack(&self) -> u64 {
        (FRAME_SIZE + self.in_frame() + 64 + 16) as u64 + RED_ZONE
    }

    /// The bytes that follow the area in a frame.
    pub fn tail(&self) -> Option<[u8; MAGIC2_SIZE]> {
        self.has_xsave().then_some(FP_XSTATE_MAGIC2.to_le_bytes())
    }

    const fn has_xsave(&self) -> bool {
        self.size >= XSAVE_HEADER + XSAVE_HEADER_SIZE
    }
}

/// What the thread's last fault was; goes into the frame for debuggers and runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FaultRecord {
    /// Vector of the exception.
    pub trapno: u64,
    /// Its error code.
    pub error_code: u64,
    /// CR2.
    pub address: u64,
}

/// A frame ready to be written.
#[derive(Clone, Debug)]
pub struct SignalFrame {
    /// Where [`SignalFrame::bytes`] go.
    pub address: u64,
    /// Return address, ucontext, siginfo.
    pub bytes: [u8; FRAME_SIZE],
    /// Where the sealed XSAVE area goes, [`FpLayout::size`] bytes, and after it [`FpLayout::tail`].
    pub fp_address: u64,
    handler: u64,
    signal: u64,
}

impl SignalFrame {
    /// Makes the registers that were interrupted those to run the handler with.
    pub const fn enter(&self, context: &mut UserContext) {
        context.rip = self.handler;
        context.rsp = self.address;
        context.rdi = self.signal;
        context.rsi = self.address + INFO as u64;
        context.rdx = self.address + UC as u64;
        context.rax = 0;
        context.orig_rax = u64::MAX;
        context.cs = UserContext::USER_CS;
        context.ss = UserContext::USER_SS;
        context.rflags &= !(FLAG_DF | FLAG_TF | FLAG_RF);
    }
}

/// Builds the frame for `caught` on the stack of `context`, whose interrupted call is already finished
/// ([`super::finish_interrupted`]).
///
/// Write `bytes` and the vector state; if either write fails, that is a bad frame too. Then [`SignalFrame::enter`].
///
/// # Errors
/// See [`FrameError`]; nothing is to be written then.
pub fn build(
    context: &UserContext,
    caught: &Caught,
    altstack: &AltStack,
    fault: &FaultRecord,
    layout: &FpLayout,
) -> Result<SignalFrame, FrameError> {
    let action = &caught.action;
    if !action.flags.contains(ActionFlags::RESTORER) {
        return Err(FrameError::NoRestorer);
    }
    if action.handler >= USER_END {
        return Err(FrameError::BadHandler);
    }
    let (address, fp_address) = place(context.rsp, action.flags, altstack, layout)?;

    let mut out = Writer { bytes: [0; FRAME_SIZE] };
    out.u64(0, action.restorer);
    let xstate = if layout.has_xsave() { UC_FP_XSTATE } else { 0 };
    out.u64(UC, xstate | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS);
    out.put(UC_STACK, altstack.in_frame().to_bytes().as_ref());
    put_registers(&mut out, context);
    out.u64(MC_SEGMENTS, (context.cs & 0xffff) | (context.ss & 0xffff) << 48);
    out.u64(MCONTEXT + 152, fault.error_code);
    out.u64(MCONTEXT + 160, fault.trapno);
    out.u64(MCONTEXT + 168, caught.frame_mask.0);
    out.u64(MCONTEXT + 176, fault.address);
    out.u64(MC_FPSTATE, fp_address);
    out.u64(UC_SIGMASK, caught.frame_mask.0);
    out.put(INFO, &caught.info.to_bytes());

    let signal = u64::from(caught.info.signal.number());
    Ok(SignalFrame { address, bytes: out.bytes, fp_address, handler: action.handler, signal })
}

/// Where the frame and the XSAVE area go.
fn place(rsp: u64, flags: ActionFlags, altstack: &AltStack, layout: &FpLayout) -> Result<(u64, u64), FrameError> {
    let nested = altstack.is_active(rsp);
    let entering = flags.contains(ActionFlags::ONSTACK)
        && altstack.is_enabled()
        && !altstack.is_active(rsp.wrapping_sub(RED_ZONE));
    let top = if entering { altstack.top() } else { rsp.checked_sub(RED_ZONE).ok_or(FrameError::NoRoom)? };
    let fp = top.checked_sub(layout.in_frame() as u64).ok_or(FrameError::NoRoom)? & !63;
    let frame = (fp.checked_sub(FRAME_SIZE as u64).ok_or(FrameError::NoRoom)? & !15)
        .checked_sub(8)
        .ok_or(FrameError::NoRoom)?;
    if top > USER_END || (nested || entering) && !altstack.contains(frame) {
        return Err(FrameError::NoRoom);
    }
    Ok((frame, fp))
}

/// Completes the XSAVE area as a frame carries it: sizes, features and the first of the two magic numbers. What the CPU
/// makes of it stays the same.
pub fn seal_fp(layout: &FpLayout, fp: &mut [u8]) {
    if let Some(reserved) = fp.get_mut(SW_RESERVED..FXSAVE_SIZE) {
        reserved.fill(0);
    }
    if !layout.has_xsave() {
        return;
    }
    put_at(fp, SW_RESERVED, &FP_XSTATE_MAGIC1.to_le_bytes());
    put_at(fp, SW_RESERVED + 4, &(layout.in_frame() as u32).to_le_bytes());
    put_at(fp, SW_RESERVED + 8, &layout.features.to_le_bytes());
    put_at(fp, SW_RESERVED + 16, &(layout.size as u32).to_le_bytes());
    // A handler may change SSE registers of the frame without touching the header: they must be loaded in any case.
    let present = u64::from_le_bytes(read_array(fp, XSAVE_HEADER)) | LEGACY_FEATURES;
    put_at(fp, XSAVE_HEADER, &present.to_le_bytes());
}

fn put_registers(out: &mut Writer, context: &UserContext) {
    let registers = [
        context.r8,
        context.r9,
        context.r10,
        context.r11,
        context.r12,
        context.r13,
        context.r14,
        context.r15,
        context.rdi,
        context.rsi,
        context.rbp,
        context.rbx,
        context.rdx,
        context.rax,
        context.rcx,
        context.rsp,
        context.rip,
        context.rflags,
    ];
    for (index, value) in registers.into_iter().enumerate() {
        out.u64(MCONTEXT + index * 8, value);
    }
}

/// Address of the frame when `rt_sigreturn` is called with the stack pointer at `rsp`: the handler's return took the
/// return address off.
pub const fn frame_address(rsp: u64) -> u64 {
    rsp.wrapping_sub(8)
}

/// A frame read back by `rt_sigreturn`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedFrame {
    /// The registers to go on with; segment bases are those of the caller.
    pub context: UserContext,
    /// The mask to go back to, without SIGKILL and SIGSTOP.
    pub mask: SigSet,
    /// The alternate stack to go back to.
    pub altstack: SigaltStack,
    /// Where the floating-point state is; `None` means the initial state.
    pub fp_address: Option<u64>,
}

impl SavedFrame {
    /// Checks the bytes at [`frame_address`]; `current` are the registers at the call.
    ///
    /// # Errors
    /// [`FrameError::BadSegments`], [`FrameError::BadInstructionPointer`]: the thread gets SIGSEGV.
    pub fn parse(bytes: &[u8; SAVED_SIZE], current: &UserContext) -> Result<Self, FrameError> {
        let word = |at| u64::from_le_bytes(read_array(bytes, at));
        let register = |index: usize| word(MCONTEXT + index * 8);
        let segments = word(MC_SEGMENTS);
        let cs = segments & 0xffff | 3;
        let ss = segments >> 48 | 3;
        if cs != UserContext::USER_CS {
            return Err(FrameError::BadSegments);
        }
        // An old program that does not know of SS leaves it zero or stale: any is taken as the only right one.
        let strict = word(UC) & UC_STRICT_RESTORE_SS != 0;
        if strict && ss != UserContext::USER_SS {
            return Err(FrameError::BadSegments);
        }
        let rip = register(16);
        if rip >= USER_END {
            return Err(FrameError::BadInstructionPointer);
        }
        let context = UserContext {
            r8: register(0),
            r9: register(1),
            r10: register(2),
            r11: register(3),
            r12: register(4),
            r13: register(5),
            r14: register(6),
            r15: register(7),
            rdi: register(8),
            rsi: register(9),
            rbp: register(10),
            rbx: register(11),
            rdx: register(12),
            rax: register(13),
            rcx: register(14),
            rsp: register(15),
            rip,
            rflags: UserContext::INITIAL_RFLAGS | register(17) & RESTORED_FLAGS,
            orig_rax: u64::MAX,
            cs: UserContext::USER_CS,
            ss: UserContext::USER_SS,
            ..*current
        };
        let fp_address = word(MC_FPSTATE);
        Ok(Self {
            context,
            mask: SigSet(word(UC_SIGMASK)).difference(SigSet::UNBLOCKABLE),
            altstack: SigaltStack::from_bytes(&read_array(bytes, UC_STACK)),
            fp_address: (fp_address != 0).then_some(fp_address),
        })
    }

    /// The alternate stack after sigreturn: the frame's, or `current` where that makes no sense (as on Linux).
    pub fn altstack_after(&self, current: &AltStack) -> AltStack {
        let restored: Result<AltStack, AltStackError> = current.replace(&self.altstack, self.context.rsp, MINSIGSTKSZ);
        restored.unwrap_or(*current)
    }
}

/// Whether the CPU could load a state of `extent` bytes (see [`fp_extent`]) from there: an XSAVE area is 64-byte aligned, the
/// legacy part alone 16-byte.
const fn fp_is_aligned(address: u64, extent: usize) -> bool {
    address.is_multiple_of(if extent > FXSAVE_SIZE { 64 } else { 16 })
}

/// How many bytes to read at [`SavedFrame::fp_address`], from the [`FXSAVE_SIZE`] bytes read there first: the whole area
/// if the frame says it is one of ours, else just the legacy part.
fn fp_extent(legacy: &[u8; FXSAVE_SIZE], layout: &FpLayout) -> usize {
    let word = |at| u32::from_le_bytes(read_array(legacy, at));
    let size = word(SW_RESERVED + 16) as usize;
    let genuine = layout.has_xsave()
        && word(SW_RESERVED) == FP_XSTATE_MAGIC1
        && size >= XSAVE_HEADER + XSAVE_HEADER_SIZE
        && size <= layout.size
        && word(SW_RESERVED + 4) as usize >= size + MAGIC2_SIZE;
    if genuine { size + MAGIC2_SIZE } else { FXSAVE_SIZE }
}

/// Reads a floating-point state back from a frame and makes it one that can be loaded without a fault.
///
/// `area` takes [`FpLayout::size`] bytes; `address` is [`SavedFrame::fp_address`], and `read(offset, out)` reads from there
/// on and says whether it could. Components that the frame does not hold are put into their initial state.
///
/// # Errors
/// [`FrameError::BadFpState`]: it cannot be read, is not aligned, or has reserved bits set. `area` may hold anything then.
pub fn read_fp(
    area: &mut [u8],
    layout: &FpLayout,
    address: u64,
    mut read: impl FnMut(usize, &mut [u8]) -> bool,
) -> Result<(), FrameError> {
    let bad = FrameError::BadFpState;
    let area = area.get_mut(..layout.size).ok_or(bad)?;
    let (legacy, rest) = area.split_first_chunk_mut::<FXSAVE_SIZE>().ok_or(bad)?;
    if !read(0, legacy) || u32::from_le_bytes(read_array(legacy, MXCSR)) & !layout.mxcsr_mask != 0 {
        return Err(bad);
    }
    // The legacy part says how long the whole is, and whether there is more at all.
    let extent = fp_extent(legacy, layout);
    if !fp_is_aligned(address, extent) {
        return Err(bad);
    }
    let body = extent - FXSAVE_SIZE;
    let mut whole = None;
    if let Some(body) = body.checked_sub(MAGIC2_SIZE) {
        let mut magic2 = [0; MAGIC2_SIZE];
        if !read(FXSAVE_SIZE, rest.get_mut(..body).ok_or(bad)?) || !read(FXSAVE_SIZE + body, &mut magic2) {
            return Err(bad);
        }
        whole = (u32::from_le_bytes(magic2) == FP_XSTATE_MAGIC2).then_some(body);
    }
    let announced = u64::from_le_bytes(read_array(legacy, SW_RESERVED + 8));
    rest.get_mut(whole.unwrap_or(0)..).unwrap_or_default().fill(0);
    if whole.is_some() {
        let header = |at: usize| u64::from_le_bytes(read_array(rest, at));
        let reserved_clear = (8..XSAVE_HEADER_SIZE).step_by(8).all(|at| header(at) == 0);
        if !reserved_clear || header(0) & !layout.features != 0 {
            return Err(bad);
        }
        let present = header(0) & announced;
        put_at(rest, 0, &present.to_le_bytes());
    } else if layout.has_xsave() {
        put_at(rest, 0, &LEGACY_FEATURES.to_le_bytes());
    }
    clear_software_bytes(area);
    Ok(())
}

fn clear_software_bytes(area: &mut [u8]) {
    if let Some(reserved) = area.get_mut(SW_RESERVED..FXSAVE_SIZE) {
        reserved.fill(0);
    }
}

fn put_at(area: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(slot) = area.get_mut(at..at + bytes.len()) {
        slot.copy_from_slice(bytes);
    }
}

struct Writer {
    bytes: [u8; FRAME_SIZE],
}

impl Writer {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        put_at(&mut self.bytes, at, bytes);
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
}

const _: () = assert!(INFO + SIGINFO_SIZE == FRAME_SIZE);
const _: () = assert!(MINSIGSTKSZ == linux::MINSIGSTKSZ as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{Action, SigInfo};
    use abi::Signal;
    use std::vec;
    use std::vec::Vec;
    use types::{Pid, Uid};

    const LAYOUT: FpLayout = FpLayout { size: 832, features: 7, mxcsr_mask: 0xffff };

    fn caught(flags: ActionFlags) -> Caught {
        let action = Action {
            handler: 0x40_0000,
            flags: flags | ActionFlags::RESTORER,
            restorer: 0x40_1000,
            mask: SigSet::EMPTY,
        };
        let info = SigInfo::queue(Signal::USR1, Pid(3), Uid(4), 5);
        Caught { action, info, frame_mask: SigSet(0xff00), handler_mask: SigSet::ALL }
    }

    fn context() -> UserContext {
        let mut context = UserContext::new(0x41_2345, 0x7fff_0000_1238);
        for (value, register) in (1..).zip([
            &mut context.rax,
            &mut context.rbx,
            &mut context.rcx,
            &mut context.rdx,
            &mut context.rsi,
            &mut context.rdi,
            &mut context.rbp,
            &mut context.r8,
            &mut context.r9,
            &mut context.r10,
            &mut context.r11,
            &mut context.r12,
            &mut context.r13,
            &mut context.r14,
            &mut context.r15,
        ]) {
            *register = value * 0x0101_0101_0101_0101;
        }
        context.rflags = 0x202 | FLAG_DF | FLAG_TF | 0x8d5;
        context
    }

    fn xsave() -> Vec<u8> {
        let mut fp = vec![0; LAYOUT.in_frame()];
        fp[MXCSR..MXCSR + 4].copy_from_slice(&0x1f80_u32.to_le_bytes());
        fp[160..416].fill(0x5a);
        fp[XSAVE_HEADER] = 7;
        fp[576..832].fill(0xa5);
        fp
    }

    fn built() -> (SignalFrame, Vec<u8>) {
        let mut fp = xsave();
        seal_fp(&LAYOUT, &mut fp[..LAYOUT.size]);
        fp[LAYOUT.size..].copy_from_slice(&LAYOUT.tail().unwrap());
        let none = AltStack::NONE;
        let frame = build(&context(), &caught(ActionFlags::empty()), &none, &FaultRecord::default(), &LAYOUT).unwrap();
        (frame, fp)
    }

    fn entered(frame: &SignalFrame) -> UserContext {
        let mut context = context();
        frame.enter(&mut context);
        context
    }

    fn parse(bytes: &[u8; FRAME_SIZE], current: &UserContext) -> Result<SavedFrame, FrameError> {
        SavedFrame::parse(bytes.first_chunk().unwrap(), current)
    }

    /// Reads from `fp`, behind which nothing can be read.
    fn restore(fp: &[u8], out: &mut [u8]) -> Result<(), FrameError> {
        read_fp(out, &LAYOUT, 0x7000, |offset, out| {
            fp.get(offset..offset + out.len()).map(|bytes| out.copy_from_slice(bytes)).is_some()
        })
    }

    #[test]
    fn a_frame_round_trip_gives_everything_back() {
        let (frame, fp) = built();
        assert_eq!((frame.address % 16, frame.fp_address % 64), (8, 0));
        assert!(frame.fp_address + fp.len() as u64 <= context().rsp - RED_ZONE);
        assert!(frame.address + FRAME_SIZE as u64 <= frame.fp_address);
        assert_eq!(entered(&frame).rflags & (FLAG_DF | FLAG_TF | FLAG_RF), 0);
        assert_eq!(entered(&frame).rbx, context().rbx);
        let saved = parse(&frame.bytes, &entered(&frame)).unwrap();
        let expected = UserContext { orig_rax: u64::MAX, ..context() };
        assert_eq!(saved.context, expected);
        assert_eq!(saved.mask, SigSet(0xff00).difference(SigSet::UNBLOCKABLE));
        assert_eq!(saved.fp_address, Some(frame.fp_address));
        assert_eq!(saved.altstack_after(&AltStack::NONE), AltStack::NONE);
        let mut out = vec![0xff; LAYOUT.size];
        restore(&fp, &mut out).unwrap();
        let before = xsave();
        assert_eq!(out[..LAYOUT.size], before[..LAYOUT.size]);
    }

    #[test]
    fn sigreturn_cannot_gain_segments_flags_or_addresses() {
        let (frame, _) = built();
        let with = |at: usize, value: u64| {
            let mut bytes = frame.bytes;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            parse(&bytes, &entered(&frame))
        };
        let flags = with(MCONTEXT + 17 * 8, u64::MAX).unwrap().context.rflags;
        assert_eq!(flags, 0x202 | RESTORED_FLAGS);
        assert_eq!(flags & (0x3000 | 0x4000 | 0x2_0000), 0, "IOPL, NT, VM");
        assert_eq!(with(MCONTEXT + 17 * 8, 0).unwrap().context.rflags, 0x202, "interrupts stay on");
        for rip in [USER_END, 0x8000_0000_0000_0000, 0xffff_8000_0000_0000, u64::MAX] {
            assert_eq!(with(MCONTEXT + 16 * 8, rip), Err(FrameError::BadInstructionPointer));
        }
        for (cs, ss) in [(8, 0x2b), (0x10, 0x2b), (0x33, 0x10), (0, 0x2b), (0xffff, 0x2b)] {
            assert_eq!(with(MC_SEGMENTS, cs | ss << 48), Err(FrameError::BadSegments), "{cs:#x} {ss:#x}");
        }
        for (cs, ss) in [(0x33, 0x2b), (0x30, 0x28)] {
            let context = with(MC_SEGMENTS, cs | ss << 48).unwrap().context;
            assert_eq!((context.cs, context.ss), (UserContext::USER_CS, UserContext::USER_SS));
        }
        assert_eq!(with(UC_SIGMASK, u64::MAX).unwrap().mask, SigSet::ALL.difference(SigSet::UNBLOCKABLE));
    }

    #[test]
    fn random_frames_never_give_more_than_user_rights() {
        let mut seed = 7_u64;
        let mut good = 0;
        for _ in 0..20_000 {
            let (mut frame, _) = built();
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % FRAME_SIZE;
                frame.bytes[at] ^= 1 << (seed >> 61);
            }
            let Ok(saved) = parse(&frame.bytes, &entered(&frame)) else { continue };
            good += 1;
            let context = saved.context;
            assert_eq!((context.cs, context.ss), (UserContext::USER_CS, UserContext::USER_SS));
            assert_eq!(context.rflags & !(0x202 | RESTORED_FLAGS), 0);
            assert!(context.rip < USER_END && context.orig_rax == u64::MAX);
        }
        assert!(good > 1000);
    }

    #[test]
    fn xsave_headers_that_would_fault_are_refused() {
        let (_, fp) = built();
        let mut out = vec![0; LAYOUT.size];
        let mut check = |at: usize, value: u8| {
            let mut fp = fp.clone();
            fp[at] = value;
            restore(&fp, &mut out)
        };
        assert_eq!(check(XSAVE_HEADER, 3), Ok(()));
        assert_eq!(check(XSAVE_HEADER + 1, 1), Err(FrameError::BadFpState), "a component that is not enabled");
        assert_eq!(check(XSAVE_HEADER + 15, 0x80), Err(FrameError::BadFpState), "the compacted format");
        assert_eq!(check(XSAVE_HEADER + 16, 1), Err(FrameError::BadFpState), "reserved bytes");
        assert_eq!(check(XSAVE_HEADER + 63, 1), Err(FrameError::BadFpState));
        assert_eq!(check(MXCSR + 2, 1), Err(FrameError::BadFpState), "reserved MXCSR bits");
    }

    #[test]
    fn a_frame_without_magic_restores_the_legacy_part_only() {
        let (_, fp) = built();
        let mut legacy = [0; FXSAVE_SIZE];
        legacy.copy_from_slice(&fp[..FXSAVE_SIZE]);
        assert_eq!(fp_extent(&legacy, &LAYOUT), LAYOUT.in_frame());
        for (at, value) in [(SW_RESERVED, 0), (SW_RESERVED + 17, 0xff), (SW_RESERVED + 17, 0), (SW_RESERVED + 5, 0)] {
            let mut bad = legacy;
            bad[at] = value;
            assert_eq!(fp_extent(&bad, &LAYOUT), FXSAVE_SIZE, "byte {at}");
        }
        let mut out = vec![0xff; LAYOUT.size];
        legacy[SW_RESERVED] = 0;
        restore(&legacy, &mut out).unwrap();
        assert_eq!(out[XSAVE_HEADER], 3);
        assert_eq!(out[160..416], fp[160..416]);
        assert!(out[576..].iter().all(|byte| *byte == 0), "AVX in its initial state");
        let mut no_magic2 = fp.clone();
        no_magic2[LAYOUT.size] ^= 1;
        restore(&no_magic2, &mut out).unwrap();
        assert!(out[576..].iter().all(|byte| *byte == 0));
        assert_eq!(restore(&fp[..100], &mut out), Err(FrameError::BadFpState));
    }

    #[test]
    fn a_frame_that_ends_early_is_refused() {
        let (_, fp) = built();
        let mut out = vec![0; LAYOUT.size];
        for len in [0, 511, 512, 600, LAYOUT.size, LAYOUT.in_frame() - 1] {
            assert_eq!(restore(&fp[..len], &mut out), Err(FrameError::BadFpState), "{len} bytes");
        }
        assert_eq!(restore(&fp, &mut out), Ok(()));
    }

    #[test]
    fn the_legacy_state_counts_as_present_in_every_frame() {
        let mut fp = xsave();
        fp[XSAVE_HEADER] = 4;
        seal_fp(&LAYOUT, &mut fp);
        assert_eq!(fp[XSAVE_HEADER], 7, "a handler may change SSE registers in the frame");
    }

    #[test]
    fn components_the_frame_does_not_announce_are_initialised() {
        let (_, mut fp) = built();
        fp[SW_RESERVED + 8] = 3;
        let mut out = vec![0; LAYOUT.size];
        restore(&fp, &mut out).unwrap();
        assert_eq!(out[XSAVE_HEADER], 3);
    }

    #[test]
    fn a_frame_needs_a_restorer_a_handler_and_room() {
        let attempt = |caught: &Caught, rsp: u64, stack: &AltStack| {
            let context = UserContext { rsp, ..context() };
            build(&context, caught, stack, &FaultRecord::default(), &LAYOUT).map(|frame| frame.address)
        };
        let none = AltStack::NONE;
        let mut caught = caught(ActionFlags::ONSTACK);
        caught.action.flags.remove(ActionFlags::RESTORER);
        assert_eq!(attempt(&caught, 0x10000, &none), Err(FrameError::NoRestorer));
        caught.action.flags.insert(ActionFlags::RESTORER);
        assert_eq!(attempt(&caught, 0x100, &none), Err(FrameError::NoRoom));
        assert_eq!(attempt(&caught, u64::MAX, &none), Err(FrameError::NoRoom));
        assert!(attempt(&caught, 0x10000, &none).is_ok());
        caught.action.handler = USER_END;
        assert_eq!(attempt(&caught, 0x10000, &none), Err(FrameError::BadHandler));
    }

    #[test]
    fn the_alternate_stack_is_entered_once_and_never_overrun() {
        let raw = SigaltStack { ss_sp: 0x50_0000, ss_flags: 0, pad: 0, ss_size: 0x2000 };
        let stack = AltStack::NONE.replace(&raw, 0, MINSIGSTKSZ).unwrap();
        let attempt = |flags: ActionFlags, rsp: u64, stack: &AltStack| {
            let context = UserContext { rsp, ..context() };
            build(&context, &caught(flags), stack, &FaultRecord::default(), &LAYOUT)
        };
        let entered = attempt(ActionFlags::ONSTACK, 0x7fff_0000, &stack).unwrap();
        assert!(stack.contains(entered.address) && entered.fp_address + LAYOUT.in_frame() as u64 <= stack.top());
        let elsewhere = attempt(ActionFlags::empty(), 0x7fff_0000, &stack).unwrap();
        assert!(!stack.contains(elsewhere.address));
        let nested = attempt(ActionFlags::ONSTACK, entered.address, &stack).unwrap();
        assert!(nested.address < entered.address);
        assert_eq!(attempt(ActionFlags::ONSTACK, 0x50_0400, &stack).err(), Some(FrameError::NoRoom));
        let small = AltStack::NONE.replace(&SigaltStack { ss_size: 1000, ..raw }, 0, 1000).unwrap();
        assert_eq!(attempt(ActionFlags::ONSTACK, 0x7fff_0000, &small).err(), Some(FrameError::NoRoom));
    }
}
