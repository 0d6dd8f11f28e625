//! Checks of services in the running kernel. `svcheck GROUP…` drives /dev/svc; `svcheck be BEHAVIOUR…` is the program of the
//! services that it loads, good ones and bad ones.
//!
//! Each check prints a line that begins with `ok` or `FAIL`; the exit status says whether all were ok.

mod apart;
mod balance;
mod behave;
mod control;
mod discovery;
mod draw;
mod escapes;
mod faults;
mod figures;
mod groups;
mod limits;
mod messages;
mod server;
mod strain;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

static CHECKS: AtomicU32 = AtomicU32::new(0);
static FAILURES: AtomicU32 = AtomicU32::new(0);

/// Notes one check.
fn expect(what: &str, good: bool) {
    CHECKS.fetch_add(1, Ordering::Relaxed);
    if good {
        println!("ok {what}");
    } else {
        FAILURES.fetch_add(1, Ordering::Relaxed);
        println!("FAIL {what}");
    }
}

/// As `expect`, and says what was there if it is not as wished.
fn expect_eq<T: PartialEq + std::fmt::Debug>(what: &str, is: T, wished: T) {
    let good = is == wished;
    expect(what, good);
    if !good {
        println!("  is {is:?}\n  not {wished:?}");
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "be") {
        return behave::be(words.get(1..).unwrap_or_default());
    }
    for word in &words {
        if !groups::run(word) && !limits::run(word) {
            println!("FAIL no group {word}");
            return ExitCode::from(2);
        }
    }
    println!("{} failed", FAILURES.load(Ordering::Relaxed));
    if FAILURES.load(Ordering::Relaxed) == 0 && CHECKS.load(Ordering::Relaxed) > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
