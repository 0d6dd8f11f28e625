//! The command line: what there is, with the help that also becomes the manual pages and the completion.

use clap::{Arg, ArgAction, Command, value_parser};
use types::Nanos;

use crate::definitions::duration;

/// Exit statuses, for the manual.
const EXIT: &str = "Exit status: 0 done, 1 done in part, 2 usage, 3 waited too long, then one for each kind of error: 4 not \
found, 5 already exists, 6 invalid definition, 7 not possible in this state, 8 permission denied, 9 circular dependency, \
10 dependency unsatisfied, 11 resource exhausted, 12 capacity exhausted, 13 could not be started, 14 not ready in time, 15 not \
gone in time, 16 health check failed, 17 given up after too many failures, 18 shutting down; 20 there is no supervisor.";

/// All of it.
pub fn command() -> Command {
    Command::new("svc")
        .about("Looks at services and controls them")
        .after_help(EXIT)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(Arg::new("json").long("json").global(true).action(ArgAction::SetTrue).help("Prints one JSON object"))
        .subcommands(looking())
        .subcommands(operating())
        .subcommands(configuring())
        .subcommands(whole_system())
        .subcommands(helping())
}

fn name() -> Arg {
    Arg::new("name").value_name("NAME").required(true).help("The service")
}

fn optional_name() -> Arg {
    name().required(false)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn follow() -> Arg {
    flag("follow", "Goes on as more comes").short('f')
}

fn files() -> Arg {
    Arg::new("files")
        .long("files")
        .value_name("PATH")
        .num_args(1..)
        .value_parser(value_parser!(std::path::PathBuf))
        .help("Looks at these files and directories, not at the running system")
}

fn paths() -> Arg {
    Arg::new("paths")
        .value_name("PATH")
        .num_args(0..)
        .value_parser(value_parser!(std::path::PathBuf))
        .help("Files and directories; /usr/lib/svc and /etc/svc if none is given")
}

fn wait() -> Arg {
    Arg::new("wait")
        .long("wait")
        .value_name("TIME")
        .default_value("30s")
        .value_parser(|text: &str| duration(text))
        .help("How long to wait for the end; 0 to return at once")
}

fn temporary() -> Arg {
    flag("temp", "Until the next boot only: writes no file")
}

fn looking() -> Vec<Command> {
    vec![
        Command::new("list")
            .about("Lists all instances; the same as `svc` alone")
            .arg(flag("failed", "Only those that failed or will be tried again"))
            .arg(flag("waiting", "Only those that wait for something")),
        Command::new("status").about("Tells all there is to know about a service").arg(name()),
        Command::new("why")
            .about("Explains why a service is not as wished, down to the root cause")
            .after_help("Without a name it explains everything that is wrong.")
            .arg(flag("started", "Explains who started it"))
            .arg(optional_name()),
        Command::new("plan")
            .about("Shows what a command would do, without doing it")
            .arg(Arg::new("verb").required(true).value_parser(["start", "stop", "restart"]).help("The command"))
            .arg(name())
            .arg(files()),
        Command::new("deps")
            .about("Shows what a service needs, or who needs it")
            .arg(flag("reverse", "Shows who needs it").short('r'))
            .arg(flag("dot", "Prints a graph for Graphviz"))
            .arg(optional_name())
            .arg(files()),
        Command::new("top")
            .about("Shows what each instance uses, again and again")
            .arg(count("rounds", 'n', "How many times; for ever if not given"))
            .arg(
                Arg::new("delay")
                    .short('d')
                    .long("delay")
                    .value_name("TIME")
                    .default_value("1s")
                    .value_parser(|text: &str| duration(text))
                    .help("Time between two"),
            ),
        Command::new("log").about("Shows what a service wrote").arg(follow()).arg(name()),
        Command::new("events").about("Shows the changes of state").arg(follow()),
        Command::new("audit")
            .about("Shows who did what, also what was refused")
            .arg(flag("verify", "Checks the chain of hashes and prints only the verdict")),
        Command::new("boot").about("Shows what the start waited for: the critical path first"),
        Command::new("cat")
            .about("Shows a definition as it is put together, with the origin of each line")
            .arg(name())
            .arg(files()),
    ]
}

fn count(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name).short(short).long(name).value_name("N").value_parser(value_parser!(u32)).help(help)
}

fn operating() -> Vec<Command> {
    let cascade = || flag("cascade", "Those that need it stop as well, and come back with it");
    vec![
        Command::new("start").about("Starts a service and what it needs").arg(wait()).arg(name()),
        Command::new("stop").about("Stops a service").arg(wait()).arg(cascade()).arg(name()),
        Command::new("restart")
            .about("Stops and starts a service, as one operation; starts it if it is down")
            .arg(wait())
            .arg(cascade())
            .arg(name()),
        Command::new("reload").about("Tells a service to read its configuration again").arg(name()),
        Command::new("reset").about("Forgets the failures of a service, so that it is tried again").arg(name()),
        Command::new("roll").about("Restarts the instances of a service one after the other").arg(name()),
        Command::new("pause").about("Lets all processes of a service stand still").arg(name()),
        Command::new("resume").about("Lets a paused service go on").arg(name()),
    ]
}

fn configuring() -> Vec<Command> {
    vec![
        Command::new("enable").about("Starts a service at every boot, and now").arg(temporary()).arg(name()),
        Command::new("disable")
            .about("Does not start a service at the next boot")
            .arg(flag("now", "Stops it as well"))
            .arg(temporary())
            .arg(name()),
        Command::new("scale")
            .about("Sets the number of instances")
            .arg(Arg::new("what").value_name("NAME=N").required(true).help("The service and how many")),
        Command::new("set")
            .about("Changes one key of a definition")
            .after_help("Validated like a load. Example: svc set web limits.memory=128M")
            .arg(temporary())
            .arg(name())
            .arg(Arg::new("what").value_name("SECTION.KEY=VALUE").required(true).help("The key and its new value")),
        Command::new("hold").about("Keeps a service down, whoever needs it, until `unhold`").arg(name()),
        Command::new("unhold").about("Lifts a hold").arg(name()),
        Command::new("check").about("Finds every mistake in definition files; needs no supervisor").arg(paths()),
        Command::new("load")
            .about("Reads the definition files anew; takes all of them, or none and says why")
            .arg(paths()),
        Command::new("rollback").about("Goes back to an earlier set of definitions").arg(
            Arg::new("number")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .help("Which; the one before if not given"),
        ),
    ]
}

fn whole_system() -> Vec<Command> {
    vec![
        Command::new("shutdown")
            .about("Stops everything in order and switches the machine off")
            .arg(flag("halt", "Stops the machine without switching it off")),
        Command::new("reboot").about("Stops everything in order and starts the machine again"),
        Command::new("isolate").about("Starts a target and stops everything that it does not need").arg(name()),
        Command::new("emergency").about("Stops everything that is not kept in an emergency").arg(
            Arg::new("step")
                .value_parser(["enter", "leave", "kill-all"])
                .default_value("enter")
                .help("`leave` goes back to normal; `kill-all` kills everything and restarts the machine"),
        ),
    ]
}

fn helping() -> Vec<Command> {
    vec![
        Command::new("completion")
            .about("Prints the completion of a shell")
            .arg(Arg::new("shell").required(true).value_parser(value_parser!(clap_complete::Shell)).help("The shell")),
        Command::new("man")
            .about("Prints a manual page")
            .arg(Arg::new("page").value_name("COMMAND").help("Of which command; of svc itself if not given"))
            .arg(
                Arg::new("dir")
                    .long("dir")
                    .value_name("DIR")
                    .value_parser(value_parser!(std::path::PathBuf))
                    .help("Writes all pages into this directory"),
            ),
    ]
}

/// How long to wait.
pub(crate) fn waiting(matches: &clap::ArgMatches) -> Nanos {
    matches.get_one("wait").copied().unwrap_or(Nanos::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense_and_has_every_command() {
        command().debug_assert();
        let wanted = "list status start stop restart reload enable disable reset why plan deps check load rollback scale roll \
                      set hold unhold pause resume top log events audit boot shutdown reboot isolate emergency cat completion man";
        let command = command();
        let mut have: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        let mut wanted: Vec<_> = wanted.split_whitespace().collect();
        have.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(have, wanted);
        assert!(command.get_subcommands().all(|sub| sub.get_about().is_some()));
    }
}
