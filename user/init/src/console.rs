//! The console: standard streams of process 1, and the session of the shell.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

use crate::program::status_of;

/// Tried in this order.
const CONSOLES: [&str; 2] = ["/dev/console", "/dev/ttyS0"];
/// Rows and columns of the terminal behind the console: a serial line cannot say.
const WINDOW_FILE: &str = "/etc/multios/window";

/// Gives process 1 the console as standard streams, unless the kernel has.
pub fn open_standard_streams() {
    if rustix::fs::fstat(rustix::stdio::stderr()).is_ok() {
        return;
    }
    if let Ok(console) = open() {
        let _ = dup2_stdin(&console).and_then(|()| dup2_stdout(&console)).and_then(|()| dup2_stderr(&console));
    }
}

/// Makes the console pass bytes through unchanged, so that a program's output arrives exactly as written.
pub fn make_transparent() {
    let Ok(mut settings) = tcgetattr(rustix::stdio::stdout()) else { return };
    settings.output_modes.remove(OutputModes::OPOST);
    settings.local_modes.remove(LocalModes::ECHO);
    let _ = tcsetattr(rustix::stdio::stdout(), OptionalActions::Now, &settings);
}

/// Becomes the leader of a new session with the console as its terminal, then runs `argv` in place of this program.
pub fn become_session(argv: Vec<OsString>) -> ExitCode {
    let Some((program, args)) = argv.split_first() else {
        eprintln!("usage: init --session PROG ARG...");
        return ExitCode::from(2);
    };
    let _ = rustix::process::setsid();
    if let Ok(console) = open() {
        let _ = rustix::process::ioctl_tiocsctty(&console);
        set_window(&console);
        make_sane(&console);
        if !rustix::termios::isatty(rustix::stdio::stderr()) {
            // A service: what comes on the console is not in its log.
            eprintln!("{} has the console", program.to_string_lossy());
        }
        let _ = dup2_stdin(&console).and_then(|()| dup2_stdout(&console)).and_then(|()| dup2_stderr(&console));
    }
    let error = Command::new(program).args(args).exec();
    eprintln!("init: cannot start {}: {error}", program.to_string_lossy());
    ExitCode::from(status_of(error.raw_os_error()))
}

/// Whoever had the terminal before may have been killed with its settings as an editor wants them.
fn make_sane(console: &File) {
    let Ok(mut settings) = tcgetattr(console) else { return };
    settings.input_modes.insert(InputModes::ICRNL | InputModes::IXON);
    settings.input_modes.remove(InputModes::IGNCR | InputModes::INLCR | InputModes::ISTRIP);
    settings.output_modes.insert(OutputModes::OPOST | OutputModes::ONLCR);
    settings.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
    settings.local_modes.insert(LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ECHOK);
    settings.local_modes.remove(LocalModes::NOFLSH | LocalModes::TOSTOP);
    let _ = tcsetattr(console, OptionalActions::Now, &settings);
}

fn set_window(console: &File) {
    let Ok(size) = std::fs::read_to_string(WINDOW_FILE) else { return };
    let mut numbers = size.split_whitespace().map_while(|number| number.parse().ok());
    if let (Some(rows), Some(columns)) = (numbers.next(), numbers.next()) {
        let _ = tcsetwinsize(console, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 });
    }
}

fn open() -> std::io::Result<File> {
    let mut result = Err(std::io::ErrorKind::NotFound.into());
    for path in CONSOLES {
        result = OpenOptions::new().read(true).write(true).open(path);
        if result.is_ok() {
            break;
        }
    }
    result
}
