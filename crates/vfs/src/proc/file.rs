//! An open file of /proc: text made by the first read.

use alloc::sync::Arc;
use alloc::vec::Vec;

use sync::{Rank, SpinLock};
use types::{Credentials, Pid};

use super::items::ProcItems;
use super::source::{ProcSource, TaskBytes, TaskId, TaskSetting, TaskWriter};
use super::text::Text;
use super::{system, task};
use crate::proc::ProcText;
use crate::{Caller, File, FileType, Metadata, Positioning, Result, VfsError};

/// Which text about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskFile {
    Stat,
    Status,
    Statm,
    Comm,
    Bytes(TaskBytes),
    Maps,
    Smaps,
    Limits,
    Io,
    Mounts,
    MountInfo,
    Cgroup,
    OomScore,
    OomScoreAdj,
    WaitChannel,
    Sched,
    SchedStat,
    Personality,
    Children,
}

/// Which text about the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SystemFile {
    Stat,
    MemInfo,
    Uptime,
    LoadAvg,
}

/// Where an open file's text comes from.
#[derive(Clone)]
pub(super) enum Content {
    Task { task: TaskId, file: TaskFile, permitted: bool },
    FdInfo { task: TaskId, fd: u32 },
    System(SystemFile),
    Named(Arc<dyn ProcText>),
    Item { items: Arc<dyn ProcItems>, item: u32, file: u8 },
}

/// An open file.
pub(super) struct ProcFile {
    source: Arc<dyn ProcSource>,
    content: Content,
    writer: (Credentials, Pid),
    metadata: Metadata,
    text: SpinLock<Option<Arc<Vec<u8>>>>,
}

impl ProcFile {
    pub(super) fn new(
        source: Arc<dyn ProcSource>,
        content: Content,
        caller: &Caller<'_>,
        metadata: Metadata,
    ) -> Arc<Self> {
        let writer = (*caller.credentials, caller.pid);
        Arc::new(Self { source, content, writer, metadata, text: SpinLock::new(Rank::INODE, None) })
    }

    fn make(&self) -> Result<Vec<u8>> {
        let mut out = Text::new();
        let written = match &self.content {
            Content::Task { task, file, permitted } => return self.make_task(*task, *file, *permitted),
            Content::FdInfo { task, fd } => return self.make_fd(*task, *fd),
            Content::System(SystemFile::Stat) => {
                let (cpus, totals) = self.source.stat();
                system::stat(&mut out, &cpus, &totals)
            }
            Content::System(SystemFile::MemInfo) => system::meminfo(&mut out, &self.source.memory()),
            Content::System(SystemFile::Uptime) => system::uptime(&mut out, &self.source.load()),
            Content::System(SystemFile::LoadAvg) => system::loadavg(&mut out, &self.source.load()),
            Content::Named(content) => content.read_for(self.writer.1, &mut out),
            Content::Item { items, item, file } => items.write(*item, *file, &mut out),
        };
        written.map_err(|_| VfsError::NoMemory)?;
        out.finish()
    }

    fn make_task(&self, id: TaskId, file: TaskFile, permitted: bool) -> Result<Vec<u8>> {
        match file {
            TaskFile::Bytes(what) => return self.source.bytes(id.pid, what),
            TaskFile::Maps | TaskFile::Smaps => return self.make_maps(id.pid, file),
            TaskFile::Mounts | TaskFile::MountInfo => return self.make_mounts(id, file),
            _ => {}
        }
        let snapshot = self.source.task(id).ok_or(VfsError::NoProcess)?;
        let mut out = Text::new();
        use core::fmt::Write;
        let written = match file {
            TaskFile::Stat => task::stat(&mut out, &snapshot, permitted),
            TaskFile::Status => task::status(&mut out, &snapshot),
            TaskFile::Statm => task::statm(&mut out, &snapshot),
            TaskFile::Limits => task::limits(&mut out, &snapshot),
            TaskFile::Io => task::io(&mut out, &snapshot),
            TaskFile::Sched => task::sched(&mut out, &snapshot),
            TaskFile::SchedStat => task::schedstat(&mut out, &snapshot),
            TaskFile::Cgroup => {
                let path = if snapshot.cgroup.is_empty() { "/" } else { snapshot.cgroup.as_str() };
                writeln!(out, "0::{path}")
            }
            TaskFile::OomScore => writeln!(out, "{}", snapshot.oom_score),
            TaskFile::OomScoreAdj => writeln!(out, "{}", snapshot.oom_score_adj),
            TaskFile::Personality => writeln!(out, "{:08x}", snapshot.personality),
            TaskFile::WaitChannel => out.write_str(snapshot.wait_channel.filter(|_| permitted).unwrap_or("0")),
            TaskFile::Comm => {
                out.push(&snapshot.name);
                out.write_str("\n")
            }
            TaskFile::Children => self.children(&mut out, id.pid),
            TaskFile::Bytes(_) | TaskFile::Maps | TaskFile::Smaps | TaskFile::Mounts | TaskFile::MountInfo => Ok(()),
        };
        written.map_err(|_| VfsError::NoMemory)?;
        out.finish()
    }

    fn children(&self, out: &mut Text, parent: Pid) -> core::fmt::Result {
        use core::fmt::Write;
        let mut from = Pid(1);
        while let Some(pid) = self.source.next_pid(from) {
            if self.source.task(TaskId { pid, tid: None }).is_some_and(|task| task.parent == parent) {
                write!(out, "{pid} ")?;
            }
            from = Pid(pid.0.saturating_add(1));
        }
        Ok(())
    }

    fn make_maps(&self, pid: Pid, file: TaskFile) -> Result<Vec<u8>> {
        let mut out = Text::new();
        let mut written = Ok(());
        self.source.maps(pid, &mut |line| {
            if written.is_ok() {
                written = match file {
                    TaskFile::Smaps => task::smaps_entry(&mut out, line),
                    _ => task::map_line(&mut out, line),
                };
            }
        });
        written.map_err(|_| VfsError::NoMemory)?;
        out.finish()
    }

    fn make_mounts(&self, id: TaskId, file: TaskFile) -> Result<Vec<u8>> {
        let lines = self.source.mounts(id)?;
        let mut out = Text::new();
        let written = match file {
            TaskFile::MountInfo => task::mountinfo(&mut out, &lines),
            _ => task::mounts(&mut out, &lines),
        };
        written.map_err(|_| VfsError::NoMemory)?;
        out.finish()
    }

    fn make_fd(&self, task: TaskId, fd: u32) -> Result<Vec<u8>> {
        use core::fmt::Write;
        let info = self.source.next_fd(task, fd).filter(|info| info.fd == fd).ok_or(VfsError::NotFound)?;
        let mut out = Text::new();
        writeln!(
            out,
            "pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}",
            info.position, info.flags, info.mount, info.ino
        )
        .map_err(|_| VfsError::NoMemory)?;
        out.finish()
    }
}

impl File for ProcFile {
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let kept = if offset == 0 { None } else { self.text.lock().clone() };
        let text = match kept {
            Some(text) => text,
            None => {
                let fresh = Arc::new(self.make()?);
                let old = self.text.lock().replace(fresh.clone());
                drop(old);
                fresh
            }
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or(&[]);
        let count = rest.len().min(out.len());
        if let (Some(slot), Some(from)) = (out.get_mut(..count), rest.get(..count)) {
            slot.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let (credentials, pid) = &self.writer;
        match &self.content {
            Content::Task { task, file, .. } => {
                let setting = match file {
                    TaskFile::Comm => TaskSetting::Name,
                    TaskFile::OomScoreAdj => TaskSetting::OomScoreAdj,
                    _ => return Err(VfsError::InvalidArgument),
                };
                self.source.set(*task, setting, data, TaskWriter { credentials: *credentials, pid: *pid })?;
            }
            Content::Named(content) => {
                content.write(data, &Caller { pid: *pid, ..Caller::kernel(credentials) })?;
            }
            Content::FdInfo { .. } | Content::System(_) | Content::Item { .. } => {
                return Err(VfsError::InvalidArgument);
            }
        }
        Ok(data.len())
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn truncate(&self, _len: u64) -> Result<()> {
        Ok(())
    }

    fn metadata(&self) -> Metadata {
        Metadata { kind: FileType::Regular, ..self.metadata }
    }
}
