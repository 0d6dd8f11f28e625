//! Signal frames against the Linux kernel this test runs on: Linux builds one, we take it apart, build it again from the
//! parts, and must get the same bytes at the same addresses.
//!
//! Needs `unsafe` for `sigaction`, which is why it is a test of its own and not in the crate.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    reason = "helpers of tests may panic, and reading fields of a siginfo_t is one thing"
)]

use std::mem::{offset_of, size_of};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::{SigSet, Signal};
use hal::UserContext;
use process::signal::frame::{
    self, FRAME_SIZE, FXSAVE_SIZE, FaultRecord, FpLayout, SavedFrame, frame_address, read_fp, seal_fp,
};
use process::signal::{Action, ActionFlags, AltStack, Caught, MINSIGSTKSZ, SIGINFO_SIZE, SigInfo};

/// Offsets in a frame.
const UCONTEXT: usize = 8;
const INFO: usize = 312;
const MCONTEXT: usize = UCONTEXT + offset_of!(libc::ucontext_t, uc_mcontext);
const SEGMENTS: usize = MCONTEXT + 8 * libc::REG_CSGSFS as usize;
const SW_RESERVED: usize = 464;
/// Most bytes of floating-point state looked at.
const FP_MAX: usize = 16 * 1024;

/// What the handler saw.
#[derive(Clone)]
struct Seen {
    rsp: u64,
    bytes: [u8; FRAME_SIZE],
    fp_address: u64,
    fp: Vec<u8>,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static RUNS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let rsp = context as u64 - UCONTEXT as u64;
    let mut bytes = [0; FRAME_SIZE];
    // SAFETY: the kernel has just written the frame there.
    unsafe { std::ptr::copy_nonoverlapping(rsp as *const u8, bytes.as_mut_ptr(), FRAME_SIZE) };
    let fp_address = word(&bytes, MCONTEXT + 184);
    let mut legacy = [0; FXSAVE_SIZE];
    // SAFETY: the frame's pointer to its floating-point state.
    unsafe { std::ptr::copy_nonoverlapping(fp_address as *const u8, legacy.as_mut_ptr(), FXSAVE_SIZE) };
    let extended = u32::from_le_bytes(legacy[SW_RESERVED + 4..][..4].try_into().unwrap()) as usize;
    let mut fp = vec![0; extended.clamp(FXSAVE_SIZE, FP_MAX)];
    // SAFETY: the frame says that its state is that long.
    unsafe { std::ptr::copy_nonoverlapping(fp_address as *const u8, fp.as_mut_ptr(), fp.len()) };
    *SEEN.lock().unwrap() = Some(Seen { rsp, bytes, fp_address, fp });
    RUNS.fetch_add(1, Ordering::SeqCst);
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Raises SIGUSR2 on this thread and returns the frame that Linux built.
fn linux_frame(flags: libc::c_int) -> Seen {
    // SAFETY: an all-zero sigaction is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | flags;
    // SAFETY: the handler has the type that SA_SIGINFO wants.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()) }, 0);
    // SAFETY: sends a signal to this thread, which handles it.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
    SEEN.lock().unwrap().take().expect("the handler ran")
}

fn layout(seen: &Seen) -> FpLayout {
    let word32 = |at: usize| u32::from_le_bytes(seen.fp[at..at + 4].try_into().unwrap());
    let has_xsave = word32(SW_RESERVED) == 0x4650_5853;
    let size = if has_xsave { word32(SW_RESERVED + 16) as usize } else { FXSAVE_SIZE };
    FpLayout { size, features: word(&seen.fp, SW_RESERVED + 8), mxcsr_mask: word32(28) }
}

fn parts(seen: &Seen, flags: ActionFlags) -> (SavedFrame, Caught) {
    let bytes = seen.bytes.first_chunk().unwrap();
    let saved = SavedFrame::parse(bytes, &UserContext::new(0, 0)).expect("a frame of Linux is a good frame");
    let signal = Signal::USR2;
    let action = Action {
        handler: handler as *const () as u64,
        flags: flags | ActionFlags::RESTORER | ActionFlags::SIGINFO,
        restorer: word(&seen.bytes, 0),
        mask: SigSet::EMPTY,
    };
    let mut info = [0; SIGINFO_SIZE];
    info.copy_from_slice(&seen.bytes[INFO..]);
    let info = SigInfo::from_user(signal, &info);
    let caught = Caught { action, info, frame_mask: saved.mask, handler_mask: saved.mask.with(signal) };
    (saved, caught)
}

/// Takes a frame of Linux apart and builds it again: same place, same bytes.
fn rebuild_and_compare(seen: &Seen, flags: ActionFlags, altstack: &AltStack) {
    let layout = layout(seen);
    let (saved, caught) = parts(seen, flags);
    assert_eq!(saved.fp_address, Some(seen.fp_address));
    let mut fp = seen.fp.clone();
    assert_eq!(fp.len(), layout.in_frame());
    // What Linux says about itself in there is ours to write.
    fp[SW_RESERVED..FXSAVE_SIZE].fill(0xee);
    let end = fp.len();
    fp[layout.size..end].fill(0xee);
    let fault = FaultRecord {
        error_code: word(&seen.bytes, MCONTEXT + 152),
        trapno: word(&seen.bytes, MCONTEXT + 160),
        address: word(&seen.bytes, MCONTEXT + 176),
    };
    let built = frame::build(&saved.context, &caught, altstack, &fault, &layout).unwrap();
    seal_fp(&layout, &mut fp[..layout.size]);
    if let Some(tail) = layout.tail() {
        fp[layout.size..end].copy_from_slice(&tail);
    }
    assert_eq!(built.address, seen.rsp, "the frame is where Linux put it");
    assert_eq!(built.fp_address, seen.fp_address);
    assert_eq!(fp, seen.fp, "floating-point state");
    let mut expected = seen.bytes;
    // Segment selectors are each kernel's own.
    expected[SEGMENTS..SEGMENTS + 8].copy_from_slice(&built.bytes[SEGMENTS..SEGMENTS + 8]);
    for at in (0..FRAME_SIZE).step_by(8) {
        assert_eq!(word(&built.bytes, at), word(&expected, at), "word at offset {at} of the frame");
    }
    let mut entry = saved.context;
    built.enter(&mut entry);
    assert_eq!((entry.rsp, entry.rsp % 16), (seen.rsp, 8));
    assert_eq!(entry.rdi, u64::from(Signal::USR2.number()));
    assert_eq!((entry.rsi, entry.rdx), (seen.rsp + INFO as u64, seen.rsp + UCONTEXT as u64));
    assert_eq!(entry.rip, caught.action.handler);
}

#[test]
fn layouts_agree_with_the_headers_of_libc() {
    assert_eq!(MCONTEXT, 48);
    assert_eq!(UCONTEXT + offset_of!(libc::ucontext_t, uc_sigmask), 304);
    assert_eq!(UCONTEXT + offset_of!(libc::ucontext_t, uc_stack), 24);
    assert_eq!(size_of::<libc::siginfo_t>(), SIGINFO_SIZE);
    assert_eq!(size_of::<libc::stack_t>(), 24);
    let registers = [libc::REG_R8, libc::REG_RDI, libc::REG_RSP, libc::REG_RIP, libc::REG_EFL, libc::REG_CSGSFS];
    assert_eq!(registers, [0, 8, 15, 16, 17, 18]);
    assert_eq!((libc::REG_ERR, libc::REG_TRAPNO, libc::REG_OLDMASK, libc::REG_CR2), (19, 20, 21, 22));
}

#[test]
fn siginfo_fields_are_where_libc_reads_them() {
    let read = |info: &SigInfo| -> libc::siginfo_t {
        // SAFETY: a siginfo_t is 128 bytes of plain data.
        unsafe { std::mem::transmute(info.to_bytes()) }
    };
    let (pid, uid) = (types::Pid(123), types::Uid(45));
    let queued = read(&SigInfo::queue(Signal::USR1, pid, uid, 0x1234_5678_9abc));
    assert_eq!((queued.si_signo, queued.si_code), (libc::SIGUSR1, libc::SI_QUEUE));
    // SAFETY: these fields are valid for the codes the values were made with.
    unsafe {
        assert_eq!((queued.si_pid(), queued.si_uid()), (123, 45));
        assert_eq!(queued.si_value().sival_ptr as u64, 0x1234_5678_9abc);
        let child = read(&SigInfo::child(libc::CLD_EXITED, pid, uid, 7, 11, 13));
        assert_eq!((child.si_pid(), child.si_uid(), child.si_status()), (123, 45, 7));
        assert_eq!((child.si_utime(), child.si_stime()), (11, 13));
        let fault = read(&SigInfo::fault(Signal::SEGV, 1, 0xdead_beef));
        assert_eq!(fault.si_addr() as u64, 0xdead_beef);
    }
    let timer = read(&SigInfo::timer(Signal::ALRM, 3, 9, 77));
    assert_eq!(timer.si_code, libc::SI_TIMER);
    let info = SigInfo::timer(Signal::ALRM, 3, 9, 77);
    assert_eq!((info.timer_id(), info.overrun(), info.value()), (3, 9, 77));
}

#[test]
fn a_frame_of_linux_is_rebuilt_byte_for_byte() {
    let _guard = ONE_AT_A_TIME.lock();
    let seen = linux_frame(0);
    let mut stack = no_stack();
    // SAFETY: asks for the current alternate stack only (the test runner gives its threads one).
    unsafe { libc::sigaltstack(std::ptr::null(), &mut stack) };
    rebuild_and_compare(&seen, ActionFlags::empty(), &as_altstack(&stack));
}

fn no_stack() -> libc::stack_t {
    libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 }
}

fn as_altstack(stack: &libc::stack_t) -> AltStack {
    let raw =
        abi::SigaltStack { ss_sp: stack.ss_sp as u64, ss_flags: stack.ss_flags, pad: 0, ss_size: stack.ss_size as u64 };
    AltStack::NONE.replace(&raw, 0, MINSIGSTKSZ).unwrap()
}

#[test]
fn a_frame_on_the_alternate_stack_is_rebuilt_byte_for_byte() {
    let _guard = ONE_AT_A_TIME.lock();
    std::thread::spawn(|| {
        let mut memory = vec![0_u8; 256 * 1024];
        let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
        let mut old = no_stack();
        // SAFETY: the buffer outlives the use of the alternate stack.
        assert_eq!(unsafe { libc::sigaltstack(&stack, &mut old) }, 0);
        let seen = linux_frame(libc::SA_ONSTACK);
        // SAFETY: puts back what was there.
        assert_eq!(unsafe { libc::sigaltstack(&old, std::ptr::null_mut()) }, 0);
        let altstack = as_altstack(&stack);
        assert!(altstack.contains(seen.rsp));
        rebuild_and_compare(&seen, ActionFlags::ONSTACK, &altstack);
    })
    .join()
    .unwrap();
}

#[test]
fn floating_point_state_of_linux_is_taken_back_unchanged() {
    let _guard = ONE_AT_A_TIME.lock();
    let seen = linux_frame(0);
    let layout = layout(&seen);
    let mut restored = vec![0xaa; layout.size];
    let mut end = 0;
    read_fp(&mut restored, &layout, seen.fp_address, |offset, out| {
        out.copy_from_slice(&seen.fp[offset..offset + out.len()]);
        end = offset + out.len();
        true
    })
    .unwrap();
    assert_eq!(end, seen.fp.len(), "all of it was read");
    assert_eq!(restored[..SW_RESERVED], seen.fp[..SW_RESERVED]);
    assert_eq!(restored[FXSAVE_SIZE..], seen.fp[FXSAVE_SIZE..layout.size]);
    assert_eq!(frame_address(seen.rsp + 8), seen.rsp);
    assert!(RUNS.load(Ordering::SeqCst) > 0);
}
