//! Services as text: /proc/svc.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

use process::Spans;
use services::wire::Direction;
use services::{Actor, Cause, Identity, ServiceId};
use types::{Nanos, PAGE_SIZE};

use crate::{CellId, Supervisor, World};

/// A file in the directory of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// Where its instances are.
    State,
    /// Why it is not ready.
    Why,
    /// What it needs and who needs it.
    Dependencies,
    /// What its instances use.
    Usage,
    /// The last changes of state.
    History,
    /// Its last output.
    Log,
}

/// All of them, by name.
pub const FILES: [(&str, File); 6] = [
    ("deps", File::Dependencies),
    ("history", File::History),
    ("log", File::Log),
    ("state", File::State),
    ("usage", File::Usage),
    ("why", File::Why),
];

/// How often, and for how long in all, a limit has kept somebody waiting; never where there is none.
fn write_throttles(out: &mut dyn Write, what: &str, spans: Option<&Spans>) -> fmt::Result {
    let (count, time) = spans.map_or((0, Nanos::ZERO), |spans| (spans.count(), spans.total()));
    write!(out, "{what}_throttled {count} {what}_throttled_us {}", time.0 / 1000)
}

impl Supervisor {
    /// The first service whose number is `from` or higher, and its name, if `actor` may see it.
    pub fn next_service(&self, actor: Actor, from: u16) -> Option<(ServiceId, String)> {
        let mut services = self.engine.catalog().services();
        let (id, definition) = services.find(|(id, _)| id.0 >= from && self.may_see(actor, *id))?;
        Some((id, String::from(definition.name.as_str())))
    }

    /// The service of that name, if `actor` may see it.
    pub fn visible(&self, actor: Actor, name: &str) -> Option<ServiceId> {
        self.engine.catalog().find(name).filter(|id| self.may_see(actor, *id))
    }

    /// The name of a service.
    pub fn name_of(&self, id: ServiceId) -> Option<&str> {
        self.engine.catalog().definition(id).map(|definition| definition.name.as_str())
    }

    /// What a stamp says, in words.
    pub fn label(&self, id: CellId) -> Option<String> {
        let name = self.name_of(id.service)?;
        if id.identity == Identity::default() {
            return Some(format!("svc:{name}"));
        }
        let index = self.engine.instance(id.identity.instance).map_or(0, |(_, view)| view.index);
        Some(format!("svc:{name}#{index}.{}", id.identity.generation.0))
    }

    /// Writes a file about a service.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, world: &dyn World, now: Nanos, id: ServiceId, file: File, out: &mut dyn Write) -> fmt::Result {
        match file {
            File::State => self.write_state(now, id, out),
            File::Why => self.write_why(now, id, out),
            File::Dependencies => self.write_links(id, out),
            File::Usage => self.write_usage(world, id, out),
            File::History => self.write_history(id, out),
            File::Log => {
                let bytes = self.sets.output(id).map(|output| output.read(0).1).unwrap_or_default();
                out.write_str(&String::from_utf8_lossy(&bytes))
            }
        }
    }

    fn write_state(&self, now: Nanos, id: ServiceId, out: &mut dyn Write) -> fmt::Result {
        for view in self.instances(id) {
            let pid = self.cell(view.identity.instance).map_or(0, |cell| cell.main().0);
            let age = now.saturating_sub(view.since);
            writeln!(
                out,
                "{} {} for {}.{:03} generation {} failures {} pid {pid}",
                view.index,
                view.state.word(),
                age.secs(),
                age.0 / 1_000_000 % 1000,
                view.identity.generation.0,
                view.failures
            )?;
        }
        Ok(())
    }

    fn write_why(&self, now: Nanos, id: ServiceId, out: &mut dyn Write) -> fmt::Result {
        for line in self.explain(now, id) {
            write!(out, "{:1$}{2} is {3}", "", usize::from(line.depth) * 2, line.service, line.state.word())?;
            if let Some(kind) = line.through {
                write!(out, " ({kind:?})")?;
            }
            match line.root {
                Some(root) => write!(out, ": {root:?}")?,
                None => out.write_str(": waits")?,
            }
            if line.failures > 0 {
                write!(out, ", {} failures", line.failures)?;
            }
            if line.last_end != Cause::None {
                write!(out, ", last end {:?}", line.last_end)?;
            }
            if !line.last_line.is_empty() {
                write!(out, ", said {:?}", line.last_line)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_links(&self, id: ServiceId, out: &mut dyn Write) -> fmt::Result {
        for direction in [Direction::Needs, Direction::NeededBy] {
            for link in self.links(Actor::Supervisor, Some(id), direction) {
                let (word, other) = match direction {
                    Direction::Needs => ("needs", &link.to),
                    Direction::NeededBy => ("needed by", &link.from),
                };
                writeln!(out, "{word} {other} ({:?})", link.kind)?;
            }
        }
        Ok(())
    }

    fn write_usage(&self, world: &dyn World, id: ServiceId, out: &mut dyn Write) -> fmt::Result {
        for view in self.instances(id) {
            let Some(cell) = self.cell(view.identity.instance) else { continue };
            let facts = world.facts(cell);
            let (processes, tasks, refused) = (cell.members(), cell.tasks(), cell.refused());
            write!(out, "{} processes {processes} tasks {tasks} refused {refused} ", view.index)?;
            let peak = (cell.memory().peak() * PAGE_SIZE as u64).max(facts.memory);
            write!(out, "memory {} memory_peak {peak} cpu_us {} ", facts.memory, facts.cpu.0 / 1000)?;
            write!(out, "read {} written {} ", facts.read, facts.written)?;
            write_throttles(out, "cpu", cell.cpu_share().map(|share| share.throttled()))?;
            out.write_str(" ")?;
            write_throttles(out, "io", cell.io_delays())?;
            out.write_str("\n")?;
        }
        Ok(())
    }

    fn write_history(&self, id: ServiceId, out: &mut dyn Write) -> fmt::Result {
        for view in self.instances(id) {
            for one in self.history(&view) {
                writeln!(
                    out,
                    "{}.{:06} {} generation {} {} -> {} {:?}",
                    one.time.secs(),
                    one.time.0 / 1000 % 1_000_000,
                    one.index,
                    one.generation,
                    one.from.word(),
                    one.to.word(),
                    one.cause
                )?;
            }
        }
        Ok(())
    }
}
