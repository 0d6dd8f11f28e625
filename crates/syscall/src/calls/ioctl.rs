//! ioctl(2).

use abi::Errno;
use abi::linux::ioctl as request;
use process::OnExec;
use vfs::{IOCTL_MAX_BYTES, IoctlShape};

use crate::{Caller, SysResult};

pub(crate) fn sys_ioctl(caller: Caller<'_>, fd: u64, number: u64, arg: u64) -> SysResult {
    let file = caller.file(fd)?;
    let number = number as u32;
    let memory = caller.memory();
    match number {
        request::FIOCLEX | request::FIONCLEX => {
            let on_exec = if number == request::FIOCLEX { OnExec::Close } else { OnExec::Keep };
            caller.files()?.set_on_exec(fd as u32, on_exec)?;
            return Ok(0);
        }
        request::FIONBIO => {
            let on = memory.read::<i32>(arg)? != 0;
            file.set_nonblocking(on);
            return Ok(0);
        }
        request::FIOASYNC => {
            // Nothing here sends SIGIO: only switching it off succeeds.
            let on = memory.read::<i32>(arg)? != 0;
            return if on { Err(Errno::ENOTTY.into()) } else { Ok(0) };
        }
        _ => {}
    }
    if let Some(answer) = caller.terminal_ioctl(&file, number, arg)? {
        return Ok(answer);
    }
    let shape = IoctlShape::of(number);
    let mut buffer = [0; IOCTL_MAX_BYTES];
    let bytes = buffer.get_mut(..shape.input.max(shape.output)).unwrap_or_default();
    if shape.input > 0 {
        memory.read_bytes(arg, bytes.get_mut(..shape.input).unwrap_or_default())?;
    }
    let actor = caller.actor();
    let answer = file.ioctl(number, arg, bytes, &actor.vfs())?;
    if matches!(number, request::TIOCGPGRP | request::TIOCGSID)
        && let Some((group, _)) = bytes.split_first_chunk_mut()
    {
        *group = caller.process.shown(u32::from_le_bytes(*group)).to_le_bytes();
    }
    if shape.output > 0 {
        memory.write_bytes(arg, bytes.get(..shape.output).unwrap_or_default())?;
    }
    Ok(answer)
}
