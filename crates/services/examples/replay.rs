//! Replays the log of a running kernel: reads the lines that `svcheck replay-hex` printed there, tells a new supervisor the
//! same, and says whether every transition came out the same, bit for bit.
//!
//! `cargo xtask exec /bin/svcheck order replay-hex | cargo run -p services --example replay`

use services::wire::Reply;
use std::io::Read;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        eprintln!("replay: {error}");
        return ExitCode::from(2);
    }
    let hex = text.lines().filter_map(|line| line.trim_end().strip_prefix("replay "));
    let digits: Vec<u8> = hex.flat_map(|line| line.chars()).filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    let frame: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    let part = match Reply::decode(&frame) {
        Ok(Reply::Replay(part)) => part,
        other => {
            eprintln!("replay: no log: {other:?}");
            return ExitCode::from(2);
        }
    };
    println!("{} inputs, {} sets, {} records of the audit chain", part.lines().count(), part.sets.len(), part.made);
    match part.check() {
        Ok(true) => {
            println!("the same transitions, bit for bit");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("DIFFERENT transitions");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cannot be replayed: {error:?}");
            ExitCode::from(2)
        }
    }
}
