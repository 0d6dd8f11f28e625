//! The command `svc`; everything is in the library.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use svc::client::Device;
use svc::commands::App;

fn main() -> ExitCode {
    let matches = match svc::cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let (mut out, mut err) = (stdout().lock(), stderr());
    let mut connect = || Device::open().map(|device| Box::new(device) as Box<_>);
    let terminal = stdout().is_terminal();
    let code = App::new(&mut out, &mut err, &mut connect).for_terminal(terminal).run(&matches);
    // Nobody may be reading any more (`svc list | head`): no reason to complain.
    let _ = out.flush();
    ExitCode::from(code)
}
