//! What befalls processes and their lines.

use std::sync::Arc;

use rand::{Rng, seq::IndexedRandom};
use tripline::stage::Order;

use super::{Line, World};
use crate::simulation::{tasks::TaskId, wire::ProcessId};

impl World {
    pub(super) async fn do_harm(&mut self) {
        match self.random.random_range(0..10) {
            0..2 => self.crash_process(),
            2..4 => self.crash_line(),
            4..6 => self.move_line(),
            6..8 => self.steal().await,
            8 if self.processes.len() < 3 => self.start_process(),
            _ if self.pushes.is_some() => self.push().await,
            _ => self.load_rules_again(),
        }
    }

    /// Everything that the process was at is cut off where it stands.
    fn crash_process(&mut self) {
        let Some(id) = self.processes.keys().copied().collect::<Vec<_>>().choose(&mut self.random).copied() else {
            return;
        };
        let started = self.processes[&id].lines.get().is_some();
        if !started {
            return;
        }
        self.told.crashes += 1;
        self.processes.remove(&id);
        let lines: Vec<TaskId> =
            self.lines.iter().filter(|(_, line)| line.process == id).map(|(task, _)| *task).collect();
        lines.into_iter().for_each(|task| self.kill(task));
        self.wire.forget(id);
        if self.processes.is_empty() {
            self.start_process();
        }
    }

    /// One line is cut off, as by a panic.
    fn crash_line(&mut self) {
        if let Some(task) = self.any_line() {
            self.told.crashes += 1;
            self.kill(task);
        }
    }

    fn kill(&mut self, task: TaskId) {
        self.tasks.kill(task);
        self.lines.remove(&task);
        self.owners.retain(|_, owner| *owner != task);
    }

    /// A line gives its partition back in order; whoever is next gets it.
    fn move_line(&mut self) {
        if let Some(task) = self.any_line() {
            self.told.moves += 1;
            self.lines[&task].orders.send(Order::Stop).ok();
        }
    }

    /// A partition goes to another process, and its old line hears of it when it hears of it.
    async fn steal(&mut self) {
        let Some(task) = self.any_line() else { return };
        let Line { process: loser, role, at, .. } = &self.lines[&task];
        let (loser, role, at) = (*loser, *role, at.clone());
        if self.owners.get(&(role, at.clone())) != Some(&task) {
            self.lines[&task].orders.send(Order::Abandon).ok();
            return;
        }
        let others = self.processes.iter().filter(|(id, process)| **id != loser && process.lines.get().is_some());
        let others: Vec<ProcessId> = others.map(|(id, _)| *id).collect();
        let Some(winner) = others.choose(&mut self.random).copied() else { return };
        let old = self.lines.values().any(|line| (line.process, line.role, &line.at) == (winner, role, &at));
        if !old {
            self.told.moves += 1;
            self.start_line(winner, role, at).await;
            if self.random.random_bool(0.5) {
                self.lines[&task].orders.send(Order::Abandon).ok();
            }
        }
    }

    fn any_line(&mut self) -> Option<TaskId> {
        self.lines.keys().copied().collect::<Vec<_>>().choose(&mut self.random).copied()
    }

    fn load_rules_again(&mut self) {
        for process in self.processes.values() {
            process.rules.send_replace(Arc::new((*self.rules).clone()));
        }
    }
}
