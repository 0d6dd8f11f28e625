use std::vec::Vec;

use super::bpf::DATA_SIZE;
use super::*;

const fn i(code: u16, jump_true: u8, jump_false: u8, k: u32) -> Instruction {
    Instruction { code, jump_true, jump_false, k }
}
const fn ret(k: u32) -> Instruction {
    i(0x06, 0, 0, k)
}

fn call(number: u32, first: u64) -> Call {
    Call { number, arch: ARCH_X86_64, instruction: 0x40_1000, arguments: [first, 0, 0, 0, 0, 7 << 32 | 9] }
}

fn program(instructions: &[Instruction]) -> Program {
    Program::new(instructions).unwrap()
}

/// `answer` for calls of `number`, else allowed.
fn on(number: u32, answer: u32) -> Program {
    program(&[i(0x20, 0, 0, 0), i(0x15, 0, 1, number), ret(answer), ret(action::ALLOW)])
}

#[test]
fn program_sees_number_arch_address_and_arguments() {
    let call = call(39, 0x1122_3344_5566_7788);
    let words = [39, ARCH_X86_64, 0x40_1000, 0, 0x5566_7788, 0x1122_3344];
    for (at, expected) in words.into_iter().enumerate() {
        let load = program(&[i(0x20, 0, 0, 4 * at as u32), i(0x16, 0, 0, 0)]);
        assert_eq!(load.run(&call.words()), expected, "word {at}");
    }
    let last = program(&[i(0x20, 0, 0, 60), i(0x16, 0, 0, 0)]);
    assert_eq!(last.run(&call.words()), 7);
    let length = program(&[i(0x80, 0, 0, 5), i(0x16, 0, 0, 0)]);
    assert_eq!(length.run(&call.words()), DATA_SIZE);
}

#[test]
fn bad_programs_are_refused() {
    let refused: &[&[Instruction]] = &[
        &[],
        &[i(0x00, 0, 0, 1)],                                          // no return at the end
        &[i(0x20, 0, 0, 2), ret(0)],                                  // unaligned
        &[i(0x20, 0, 0, 64), ret(0)],                                 // beyond the data
        &[i(0x28, 0, 0, 0), ret(0)],                                  // half word
        &[i(0x30, 0, 0, 0), ret(0)],                                  // byte
        &[i(0x40, 0, 0, 0), ret(0)],                                  // indirect
        &[i(0x94, 0, 0, 3), ret(0)],                                  // remainder
        &[i(0x34, 0, 0, 0), ret(0)],                                  // by zero
        &[i(0x64, 0, 0, 32), ret(0)],                                 // shift too far
        &[i(0x05, 0, 0, 1), ret(0)],                                  // jump behind the end
        &[i(0x05, 0, 0, u32::MAX), ret(0)],                           // backwards
        &[i(0x15, 1, 0, 0), ret(0)],                                  // branch behind the end
        &[i(0x15, 0, 1, 0), ret(0)],                                  // the other way
        &[i(0x60, 0, 0, 16), ret(0)],                                 // no such scratch word
        &[i(0x02, 0, 0, 16), ret(0)],                                 //
        &[i(0x60, 0, 0, 0), ret(0)],                                  // not written before
        &[i(0x15, 1, 0, 0), i(2, 0, 0, 3), i(0x60, 0, 0, 3), ret(0)], // not on one of the paths
        &[i(0x0e, 0, 0, 0)],                                          // return X
        &[i(0x106, 0, 0, 0)],                                         // high bits
    ];
    for instructions in refused {
        assert_eq!(Program::new(instructions).err(), Some(ProcessError::InvalidArgument), "{instructions:?}");
    }
    let longest = [[ret(0)].as_slice(); MAX_INSTRUCTIONS].concat();
    assert!(Program::new(&longest).is_ok());
    let too_long = [longest.as_slice(), &[ret(0)]].concat();
    assert_eq!(Program::new(&too_long).err(), Some(ProcessError::InvalidArgument));
}

#[test]
fn division_by_zero_kills() {
    // A := 5; A /= X with X = 0.
    let program = program(&[i(0, 0, 0, 5), i(0x3c, 0, 0, 0), ret(action::ALLOW)]);
    assert_eq!(program.run(&[0; 16]), action::KILL_THREAD);
}

#[test]
fn most_restrictive_answer_wins_and_of_equals_the_newest() {
    let first = CallFilter::stack(on(1, action::ERRNO | 5), None).unwrap();
    let second = CallFilter::stack(on(1, action::ERRNO | 7), Some(first.clone())).unwrap();
    assert_eq!(second.judge(&call(1, 0)), Verdict::Errno(7));
    let third = CallFilter::stack(on(1, action::TRAP | 3), Some(second)).unwrap();
    assert_eq!(third.judge(&call(1, 0)), Verdict::Trap(3));
    let fourth = CallFilter::stack(on(1, action::KILL_PROCESS), Some(third)).unwrap();
    let fifth = CallFilter::stack(on(1, action::ALLOW), Some(fourth)).unwrap();
    assert_eq!(fifth.judge(&call(1, 0)), Verdict::KillProcess);
    assert_eq!(fifth.judge(&call(2, 0)), Verdict::Allow);
    assert_eq!(first.judge(&call(1, 0)), Verdict::Errno(5));
    assert_eq!(fifth.count(), 5);
    // Every action between the two ends, in order of strictness.
    let order = [0x8000_0000, 0, 0x0003_0000, 0x0005_0000, 0x7fc0_0000, 0x7ff0_0000, 0x7ffc_0000, 0x7fff_0000_u32];
    assert!(order.is_sorted_by_key(|action| *action as i32));
}

#[test]
fn answers_become_verdicts() {
    assert_eq!(verdict(action::ERRNO | 0xffff), Verdict::Errno(4095));
    assert_eq!(verdict(action::ERRNO), Verdict::Errno(0));
    assert_eq!(verdict(action::TRACE | 4), Verdict::NoOneToAsk);
    assert_eq!(verdict(action::USER_NOTIF), Verdict::NoOneToAsk);
    assert_eq!(verdict(action::LOG), Verdict::Log);
    assert_eq!(verdict(0x0001_0000), Verdict::KillProcess);
    assert_eq!(verdict(0xffff_0000), Verdict::KillProcess);
    assert_eq!(verdict(9), Verdict::KillThread);
}

#[test]
fn strict_set_is_four_calls() {
    let strict = CallFilter::strict();
    for number in [0, 1, 15, 60] {
        assert_eq!(strict.judge(&call(number, 0)), Verdict::Allow);
    }
    for number in [2, 3, 39, 231, u32::MAX] {
        assert_eq!(strict.judge(&call(number, 0)), Verdict::KillStrict);
    }
    let native = |number| Call { arch: ARCH_I386, ..call(number, 0) };
    assert_eq!(strict.judge(&native(1)), Verdict::Allow);
    assert_eq!(strict.judge(&native(60)), Verdict::KillStrict);
    assert_eq!(CallFilter::stack(on(1, 0), Some(strict)).err(), Some(ProcessError::InvalidArgument));
}

#[test]
fn chain_is_limited_and_dropped_without_recursion() {
    let mut chain = None;
    let mut links = 0;
    loop {
        match CallFilter::stack(program(&[ret(action::ALLOW)]), chain.clone()) {
            Ok(longer) => chain = Some(longer),
            Err(error) => {
                assert_eq!(error, ProcessError::NoMemory);
                break;
            }
        }
        links += 1;
    }
    // The newest program's own penalty is not counted.
    assert_eq!(links, MAX_CHAIN.div_ceil(1 + PROGRAM_PENALTY));
    let chain = chain.unwrap();
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(chain)).unwrap().join().unwrap();
}

#[test]
fn chain_extends_its_own_parts_only() {
    let base = CallFilter::stack(on(1, 0), None).unwrap();
    let longer = CallFilter::stack(on(2, 0), Some(base.clone())).unwrap();
    let other = CallFilter::stack(on(2, 0), Some(base.clone())).unwrap();
    assert!(longer.extends(None) && longer.extends(Some(&base)) && longer.extends(Some(&longer)));
    assert!(!longer.extends(Some(&other)) && !base.extends(Some(&longer)));
}

/// xorshift64*: the seed is printed by the assertion.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A second reading of the manual, by the bits of `code` and a program counter.
fn naive_run(program: &[Instruction], data: &[u32; 16]) -> u32 {
    let (mut a, mut x, mut mem, mut pc) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
    loop {
        let i = program[pc];
        pc += 1;
        let operand = if i.code & 8 == 0 { i.k } else { x };
        match i.code & 7 {
            0 => {
                a = match i.code & 0xe0 {
                    0x00 => i.k,
                    0x20 => data[i.k as usize / 4],
                    0x60 => mem[i.k as usize],
                    0x80 => 64,
                    _ => unreachable!(),
                }
            }
            1 => {
                x = match i.code & 0xe0 {
                    0x00 => i.k,
                    0x60 => mem[i.k as usize],
                    0x80 => 64,
                    _ => unreachable!(),
                }
            }
            2 => mem[i.k as usize] = a,
            3 => mem[i.k as usize] = x,
            4 => {
                a = match i.code & 0xf0 {
                    0x00 => (u64::from(a) + u64::from(operand)) as u32,
                    0x10 => (i64::from(a) - i64::from(operand)) as u32,
                    0x20 => (u64::from(a) * u64::from(operand)) as u32,
                    0x30 if operand == 0 => return 0,
                    0x30 => a / operand,
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a << (operand % 32),
                    0x70 => a >> (operand % 32),
                    0x80 => 0_u32.wrapping_sub(a),
                    0xa0 => a ^ operand,
                    _ => unreachable!(),
                }
            }
            5 if i.code == 5 => pc += i.k as usize,
            5 => {
                let holds = match i.code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand > 0,
                    _ => unreachable!(),
                };
                pc += usize::from(if holds { i.jump_true } else { i.jump_false });
            }
            6 => return if i.code & 0x10 != 0 { a } else { i.k },
            _ => {
                if i.code & 0x80 != 0 {
                    a = x;
                } else {
                    x = a;
                }
            }
        }
    }
}

/// Whether some path reads a scratch word it has not written: by walking all paths.
fn reads_unwritten(program: &[Instruction], pc: usize, written: u16) -> bool {
    let Some(i) = program.get(pc) else { return false };
    match i.code {
        0x60 | 0x61 if written >> i.k & 1 == 0 => true,
        0x02 | 0x03 => reads_unwritten(program, pc + 1, written | 1 << i.k),
        0x06 | 0x16 => false,
        0x05 => reads_unwritten(program, pc + 1 + i.k as usize, written),
        code if code & 7 == 5 => {
            reads_unwritten(program, pc + 1 + usize::from(i.jump_true), written)
                || reads_unwritten(program, pc + 1 + usize::from(i.jump_false), written)
        }
        _ => reads_unwritten(program, pc + 1, written),
    }
}

#[test]
fn random_programs_never_panic_and_agree_with_a_naive_reading() {
    const CODES: [u16; 38] = [
        0x20, 0x80, 0x00, 0x60, 0x01, 0x61, 0x81, 0x02, 0x03, 0x06, 0x16, 0x07, 0x87, 0x84, 0x05, 0x04, 0x0c, 0x14,
        0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0xa4, 0xac, 0x15, 0x1d, 0x25,
        0x35, 0x45,
    ];
    let seed = 0x5ec0_3b9f;
    let mut random = Random(seed);
    let (mut accepted, mut refused_for_scratch) = (0, 0);
    for round in 0..60_000 {
        let len = 1 + random.below(14) as usize;
        let mut instructions: Vec<Instruction> = (0..len)
            .map(|_| {
                let known = random.below(40) != 0;
                let code = if known { CODES[random.below(38) as usize] } else { random.next() as u16 };
                let k = match code {
                    0x20 => 4 * random.below(17) as u32,
                    0x60 | 0x61 | 0x02 | 0x03 => random.below(4) as u32,
                    0x05 => random.below(4) as u32,
                    _ if random.below(3) == 0 => random.next() as u32,
                    _ => random.below(40) as u32,
                };
                i(code, random.below(4) as u8, random.below(4) as u8, k)
            })
            .collect();
        if random.below(8) != 0 {
            instructions.push(if random.below(2) == 0 { i(0x16, 0, 0, 0) } else { ret(random.next() as u32) });
        }
        let mut data = [0; 16];
        data.iter_mut().for_each(|word| *word = random.below(50) as u32);
        let checked = Program::new(&instructions);
        let Ok(program) = checked else {
            refused_for_scratch += 1;
            continue;
        };
        accepted += 1;
        assert!(!reads_unwritten(&instructions, 0, 0), "seed {seed:#x} round {round}: {instructions:?}");
        assert_eq!(
            program.run(&data),
            naive_run(&instructions, &data),
            "seed {seed:#x} round {round}: {instructions:?}"
        );
    }
    assert!(accepted > 5_000 && refused_for_scratch > 5_000, "{accepted} accepted, {refused_for_scratch} refused");
}
