//! A reconciler with its room for actions and its clock, for tests of single situations.

use std::vec::Vec;

use crate::{Action, Actions, Actor, Command, Config, Definition, Event, Identity, Name, Reconciler, ServiceId, State};
use types::Nanos;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn daemon(text: &str) -> Definition {
    Definition { enabled: true, ..Definition::daemon(name(text), "/bin/true") }
}

pub(super) struct Bench {
    pub(super) engine: Reconciler,
    pub(super) actions: Actions,
    pub(super) now: Nanos,
}

impl Bench {
    pub(super) fn new(set: Vec<Definition>) -> Self {
        Self::with(Config::default(), set)
    }

    pub(super) fn with(config: Config, set: Vec<Definition>) -> Self {
        let mut bench = Self { engine: Reconciler::new(config), actions: Actions::new(1024), now: Nanos::ZERO };
        bench.engine.load(Nanos::ZERO, set, &mut bench.actions).unwrap();
        bench
    }

    pub(super) fn id(&self, text: &str) -> ServiceId {
        self.engine.catalog().find(text).unwrap()
    }

    pub(super) fn identity(&self, text: &str) -> Identity {
        self.engine.instances(self.id(text)).next().unwrap().identity
    }

    pub(super) fn state(&self, text: &str) -> State {
        self.engine.instances(self.id(text)).next().unwrap().state
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        self.actions.clear();
        self.engine.step(self.now, event, &mut self.actions);
        self.actions.as_slice().to_vec()
    }

    pub(super) fn command(&mut self, command: Command) -> crate::Result<()> {
        self.actions.clear();
        self.engine.command(self.now, Actor::ROOT, command, &mut self.actions)
    }

    pub(super) fn wait(&mut self, span: Nanos) -> Vec<Action> {
        self.now += span;
        self.step(Event::Tick)
    }

    /// All that was started says that it is ready, again and again.
    pub(super) fn all_ready(&mut self) {
        loop {
            let starting: Vec<Identity> = (0..self.engine.catalog().slots() as u16)
                .flat_map(|slot| self.engine.instances(ServiceId(slot)).collect::<Vec<_>>())
                .filter(|view| view.state == State::Starting)
                .map(|view| view.identity)
                .collect();
            if starting.is_empty() {
                return;
            }
            for identity in starting {
                self.step(Event::Ready(identity));
            }
        }
    }
}
