//! Who finds whom, and services by the native gate.

use std::arch::asm;
use std::os::unix::process::CommandExt;
use std::process::Command;

use services::wire::{Reply, Request, Unit, Verb};
use services::{Allow, Export, Role, ServiceError, State, Subject};
use types::Uid;

use crate::control::{Control, name, requires, service, survivors, wait};
use crate::{expect, expect_eq};

// Of abi::native.
const CREATE_SERVICE: u64 = 0x140;
const START_SERVICE: u64 = 0x141;
const STOP_SERVICE: u64 = 0x142;

/// What this process is told of these names, a word each.
pub(crate) fn look_up(names: &[String]) -> String {
    let Ok(mut control) = Control::open() else { return "no /dev/svc".into() };
    let words = names.iter().map(|wanted| match control.ask(&Request::Lookup(name(wanted))) {
        Reply::Found(list) => {
            let own = |one: &services::wire::Endpoint| one.service.as_str().to_owned();
            format!("{wanted}={}x{}", list.first().map(own).unwrap_or_default(), list.len())
        }
        Reply::Error(failure) => format!("{wanted}={:?}{}", failure.error, failure.names.len()),
        other => format!("{other:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Only what is exported to one and declared by one is found; what is not, and what is not there, look the same.
pub(crate) fn discovery() {
    let mut control = Control::open().expect("/dev/svc");
    let asks = ["find", "sql", "admin", "store", "nothing"];
    let asker = |called: &str, uses: &[&str]| {
        let mut made = service(called, &asks);
        made.security.uses = uses.iter().map(|one| name(one)).collect();
        made
    };
    let mut store = service("store", &["good"]);
    store.scaling.count = 2;
    let export =
        |called: &str, to: &[&str]| Export { name: name(called), to: to.iter().map(|one| name(one)).collect() };
    store.security.exports = vec![export("sql", &[]), export("admin", &["boss"])];
    control.load(vec![
        store,
        asker("boss", &["sql", "admin"]),
        asker("user", &["sql", "admin"]),
        asker("nosy", &[]),
        requires(asker("needs", &[]), &["store"]),
    ]);
    for one in ["store", "boss", "user", "nosy", "needs"] {
        control.verb(Verb::Start, one);
        expect(&format!("{one} runs"), control.reaches(one, State::Running));
    }
    let no = |one: &str| format!("{one}=NotFound0");
    let yes = |one: &str| format!("{one}=storex2");
    let wished = [
        ("boss", [yes("sql"), yes("admin"), no("store"), no("nothing")]),
        ("user", [yes("sql"), no("admin"), no("store"), no("nothing")]),
        ("nosy", [no("sql"), no("admin"), no("store"), no("nothing")]),
        ("needs", [no("sql"), no("admin"), yes("store"), no("nothing")]),
    ];
    for (who, wished) in wished {
        let says = |control: &mut Control| match control.ask(&Request::Log { name: name(who), from: 0 }) {
            Reply::Log(part) => String::from_utf8_lossy(&part.bytes).trim().to_owned(),
            _ => String::new(),
        };
        wait(10, || !says(&mut control).is_empty());
        expect_eq(&format!("{who} finds what it declared and may"), says(&mut control), wished.join(" "));
    }
    let output = Command::new("/bin/svcheck").args(["look-up"]).uid(1000).gid(1000).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let said = text.lines().next().unwrap_or_default().to_owned();
    expect_eq("a user finds what is open to all", said, "sql=storex2 admin=NotFound0 store=NotFound0".into());
    let all = look_up(&["store".into(), "admin".into(), "sto".into()]);
    expect("root finds all", all.starts_with("store=storex2 admin=storex2 sto=NotFound"));
    control.verb(Verb::Stop, "store");
    wait(10, || control.rows().iter().all(|row| row.service.as_str() != "store" || row.state == State::Down));
    expect_eq("who does not run is no answer", look_up(&["store".into()]), "store=x0".into());
    control.clear();
    native(&mut control);
    expect_eq("nobody is left", survivors(), 0);
}

/// The call's result: not below 0, or the error number.
fn gate(number: u64, at: u64, len: u64) -> i64 {
    let result;
    // SAFETY: the gate changes no register but rax, and reads only the argument, which is alive.
    unsafe {
        asm!("int 0x80", inlateout("rax") number as i64 => result, in("rdi") at, in("rsi") len, in("rdx") 0, in("r10") 0);
    }
    result
}

fn by_name(number: u64, name: &str) -> i64 {
    gate(number, std::ffi::CString::new(name).unwrap_or_default().as_ptr() as u64, 0)
}

fn create(definition: services::Definition) -> i64 {
    let mut bytes = Vec::new();
    Request::Update(Box::new(Unit::bare(definition))).encode(&mut bytes).expect("fits");
    gate(CREATE_SERVICE, bytes.as_ptr() as u64, bytes.len() as u64)
}

/// Made, started and stopped without /dev/svc; and refused to those who may not.
fn native(control: &mut Control) {
    let mut open = service("native", &["good"]);
    open.security.allow.push(Allow { role: Role::Operate, who: Subject::User(Uid(1000)) });
    expect_eq("create", create(open), 0);
    expect_eq("it is there", control.state("native"), Some(State::Down));
    expect_eq("start", by_name(START_SERVICE, "native"), 0);
    expect("it runs", control.reaches("native", State::Running));
    expect_eq("stop", by_name(STOP_SERVICE, "native"), 0);
    expect("it is down", control.reaches("native", State::Down));
    let second = requires(service("second", &["good"]), &["native"]);
    expect_eq("one that needs it", (create(second), by_name(START_SERVICE, "second")), (0, 0));
    expect("both run", control.reaches("second", State::Running) && control.reaches("native", State::Running));
    let needed = by_name(STOP_SERVICE, "native");
    expect("what is needed is not stopped", needed < 0 && control.state("native") == Some(State::Running));
    let missing = create(requires(service("third", &["good"]), &["nobody"]));
    expect("one that needs what is not there is refused", missing < 0 && control.state("third").is_none());
    expect_eq("nor is there one of that name", by_name(START_SERVICE, "third"), -i64::from(libc::ENOENT));
    let output = Command::new("/bin/svcheck").args(["native-as-user"]).uid(1000).gid(1000).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    expect_eq("a user", text.lines().next().unwrap_or_default(), "-13 -13 0");
    let kept = control.refused(&Request::Status(name("mine")));
    expect_eq("what was refused is not there", kept, Some(ServiceError::NotFound));
    control.clear();
}

/// What a user without rights gets: creating, starting what is closed, starting what is open.
pub(crate) fn native_as_user() -> String {
    let results =
        [create(service("mine", &["good"])), by_name(START_SERVICE, "second"), by_name(START_SERVICE, "native")];
    results.map(|result| result.to_string()).join(" ")
}
