// SPDX-License-Identifier: Apache-2.0
//! The tasks of a simulation, found by an index: a turn looks for its task three times.
//!
//! A task's number is never used again, its slot is: whoever holds the `TaskId` of a task that has ended finds nothing.

use std::fmt;
use std::pin::Pin;
use std::task::Waker;

/// Names one host of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub usize);

/// Names one task of a simulation. Shown and ordered by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId {
    /// What nothing else in its world has.
    pub number: u64,
    slot: usize,
}

impl fmt::Debug for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(out)
    }
}

/// A task that has not ended.
pub(crate) struct Task {
    /// Where it runs.
    pub host: HostId,
    /// None while it is polled.
    pub future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Makes it ready.
    pub waker: Waker,
    /// It is ready.
    pub queued: bool,
}

/// The tasks that have not ended.
#[derive(Default)]
pub(crate) struct Tasks {
    slots: Vec<Option<(u64, Task)>>,
    free: Vec<usize>,
}

impl Tasks {
    /// Adds the task with this number that `make` makes.
    pub(crate) fn add(&mut self, number: u64, make: impl FnOnce(TaskId) -> Task) -> TaskId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let id = TaskId { number, slot };
        self.slots[slot] = Some((number, make(id)));
        id
    }

    /// The task, unless it has ended.
    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        match &mut self.slots[id.slot] {
            Some((number, task)) if *number == id.number => Some(task),
            _ => None,
        }
    }

    /// Takes the task out, unless it has ended.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<Task> {
        let (_, task) = self.slots[id.slot].take_if(|(number, _)| *number == id.number)?;
        self.free.push(id.slot);
        Some(task)
    }

    /// Those of which `chosen` says so, the oldest first.
    pub(crate) fn ids(&self, chosen: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        let kept = self.slots.iter().enumerate().filter_map(|(slot, kept)| Some((slot, kept.as_ref()?)));
        let chosen = kept.filter(|(_, (_, task))| chosen(task));
        let mut ids: Vec<TaskId> = chosen.map(|(slot, (number, _))| TaskId { number: *number, slot }).collect();
        ids.sort();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(host: usize) -> Task {
        Task { host: HostId(host), future: None, waker: Waker::noop().clone(), queued: false }
    }

    #[test]
    fn a_task_that_has_ended_is_not_found_in_the_slot_of_another() {
        let mut tasks = Tasks::default();
        let first = tasks.add(1, |_| task(1));
        assert_eq!(tasks.remove(first).map(|task| task.host), Some(HostId(1)));
        let second = tasks.add(2, |_| task(2));
        assert_eq!(first.slot, second.slot);
        assert!(tasks.get_mut(first).is_none() && tasks.remove(first).is_none());
        assert_eq!(tasks.get_mut(second).map(|task| task.host), Some(HostId(2)));
    }

    #[test]
    fn tasks_are_listed_by_age_wherever_they_are_kept() {
        let mut tasks = Tasks::default();
        let ids: Vec<TaskId> = (1..=4).map(|number| tasks.add(number, |_| task(number as usize % 2))).collect();
        tasks.remove(ids[0]);
        let last = tasks.add(9, |_| task(1));
        assert_eq!(tasks.ids(|task| task.host == HostId(1)), [ids[2], last]);
        assert_eq!(format!("{:?}", tasks.ids(|_| true)), "[2, 3, 4, 9]");
    }
}
