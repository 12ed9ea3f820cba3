//! A recorded run, or several after each other, and the drawing of moments and states from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::Rng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::acked::Acked;
use super::disk::Disk;
use super::image::Drawing;
use super::trace::{self, Call, Event};
use super::workload::{After, PLACE, RUNS};

const STRACE: &str = "/usr/bin/strace";
/// Tells the child what to do; see `child`.
pub const TASK: &str = "POWER_TASK";

/// Files and directories whose syncs do nothing, as if the store had forgotten them.
pub type Deaf = fn(&Path) -> bool;

/// Everything that happened to a directory, over several starts of the process.
pub struct History {
    /// What was there before.
    base: Disk,
    /// The directory that the log speaks of.
    root: PathBuf,
    /// What had been acknowledged before.
    acked: Acked,
    pub events: Vec<Event>,
    /// Line on which each run begins, and the number of lines at the end.
    pub starts: Vec<usize>,
}

impl History {
    /// Traces these of `RUNS` in the directory `work`, in which `acked` was said before. `None` when
    /// nothing can be traced here. An error when the log does not explain what the runs left: a kill
    /// may leave a part of a call.
    pub fn record(work: &TempDir, acked: Acked, runs: &[usize]) -> Result<Option<Self>, String> {
        let mut history = Self {
            base: Disk::load(work.path()),
            root: work.path().to_owned(),
            acked,
            events: Vec::new(),
            starts: vec![0],
        };
        for run in runs {
            let Some(log) = trace_run(work.path(), *run) else { return Ok(None) };
            let first = history.lines();
            let (events, lines) = trace::read(&log, work.path(), first);
            history.starts.push(first + lines);
            history.add(events, work.path())?;
        }
        Ok(Some(history))
    }

    /// Lines in the log.
    pub fn lines(&self) -> usize {
        *self.starts.last().unwrap()
    }

    /// The run to which a line belongs.
    pub fn run(&self, line: usize) -> usize {
        let runs = &self.starts[..self.starts.len() - 1];
        runs.iter().rposition(|start| *start <= line).unwrap_or(0)
    }

    /// Adds what was logged until the directory was as it is in `work` now. Of the calls that were
    /// cut off by a kill, those are kept with which the model of the disk is the real directory.
    fn add(&mut self, events: Vec<Event>, work: &Path) -> Result<(), String> {
        let real = files(work);
        let unsure = events.iter().filter(|event| event.unsure).count();
        let before = self.events.len();
        self.events.extend(events);
        let mut why = None;
        for choice in 0..1_u32 << unsure.min(8) {
            let mut number = 0;
            let mut skipped = Vec::new();
            for index in (before..self.events.len()).rev() {
                if self.events[index].unsure {
                    if choice >> number & 1 == 1 {
                        skipped.push((index, self.events.remove(index)));
                    }
                    number += 1;
                }
            }
            match self.differs(&real) {
                None => return Ok(()),
                Some(difference) => drop(why.get_or_insert(difference)),
            }
            for (index, event) in skipped.into_iter().rev() {
                self.events.insert(index, event);
            }
        }
        Err(format!("the log does not explain the directory ({unsure} calls cut off): {why:?}"))
    }

    /// How the model of the disk, with everything written, is not the real directory.
    fn differs(&self, real: &[(PathBuf, Vec<u8>)]) -> Option<String> {
        let copy = scratch();
        self.walk(
            &[usize::MAX],
            |_| false,
            |disk, _, _| {
                Drawing::everything().write(disk, copy.path());
                true
            },
        );
        let model = files(copy.path());
        let only = |some: &[(PathBuf, Vec<u8>)], other: &[(PathBuf, Vec<u8>)]| -> Vec<_> {
            let differ = some.iter().filter(|file| !other.contains(file));
            differ.map(|(path, bytes)| format!("{} ({})", path.display(), bytes.len())).collect()
        };
        (model != real).then(|| format!("{:?}, not {:?}", only(&model, real), only(real, &model)))
    }

    /// Moments at which the power may fail. Half of them are beside a call that concerns names,
    /// a sync or an answer: there, orders are wrong if they are.
    pub fn moments(&self, count: usize, rng: &mut StdRng) -> Vec<usize> {
        let special: Vec<_> = self
            .events
            .iter()
            .filter(|event| !matches!(event.call, Call::Write { .. }))
            .flat_map(|event| [event.start.saturating_sub(1), event.start, event.end])
            .filter(|line| *line < self.lines())
            .collect();
        let mut moments: Vec<_> = (0..count)
            .map(|_| match rng.random::<bool>() {
                true => special[rng.random_range(0..special.len())],
                false => self.events[rng.random_range(0..self.events.len())].start,
            })
            .collect();
        moments.sort_unstable();
        moments
    }

    /// Moments after a sync that is forgotten, half of them soon after.
    pub fn moments_after_forgotten(
        &self,
        deaf: Deaf,
        count: usize,
        rng: &mut StdRng,
    ) -> Vec<usize> {
        let forgotten: Vec<_> =
            self.events.iter().filter(|event| self.is_forgotten(&event.call, deaf)).collect();
        assert!(!forgotten.is_empty(), "there is no such sync");
        let mut moments: Vec<_> = (0..count)
            .map(|_| {
                let event = forgotten[rng.random_range(0..forgotten.len())];
                let soon = if rng.random() { 200 } else { self.lines() };
                rng.random_range(event.end..self.lines().min(event.end + soon))
            })
            .collect();
        moments.sort_unstable();
        moments
    }

    /// Replays the log and stops behind each of the sorted lines, until `at` says that it is
    /// enough.
    pub fn walk(
        &self,
        moments: &[usize],
        deaf: Deaf,
        mut at: impl FnMut(&Disk, &Acked, usize) -> bool,
    ) {
        let mut disk = self.base.clone();
        let mut acked = self.acked.clone();
        let mut ends: Vec<&Event> =
            self.events.iter().filter(|event| event.end < self.lines()).collect();
        ends.sort_by_key(|event| event.end);
        let mut begun = self.events.iter().peekable();
        let mut ended = ends.into_iter().peekable();
        for moment in moments {
            loop {
                let begin = begun.peek().map(|event| event.start).filter(|line| line <= moment);
                let end = ended.peek().map(|event| event.end).filter(|line| line <= moment);
                match (begin, end) {
                    (None, None) => break,
                    (Some(begin), end) if end.is_none_or(|end| begin <= end) => {
                        let event = begun.next().unwrap();
                        if let Call::Say { text } = &event.call {
                            acked.hear(text);
                        }
                        disk.begin(event);
                    }
                    _ => {
                        let event = ended.next().unwrap();
                        if !self.is_forgotten(&event.call, deaf) {
                            disk.end(event);
                        }
                    }
                }
            }
            if !at(&disk, &acked, *moment) {
                return;
            }
        }
    }

    fn is_forgotten(&self, call: &Call, deaf: Deaf) -> bool {
        match call {
            Call::Sync { path } => path.strip_prefix(&self.root).is_ok_and(deaf),
            _ => false,
        }
    }
}

/// Runs the child under strace; its log.
fn trace_run(work: &Path, number: usize) -> Option<String> {
    if !Path::new(STRACE).exists() {
        return None;
    }
    let run = RUNS[number];
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(STRACE);
    command.args(["-f", "-y", "-xx", "-s", "33554432", "-e", trace::CALLS]);
    if let After::Killed(sync) = run.after {
        command.args(["-e", &format!("inject=fdatasync:signal=KILL:when={sync}")]);
    }
    if let After::SyncFails(sync) = run.after {
        command.args(["-e", &format!("inject=fdatasync:error=EIO:when={sync}")]);
    }
    let done = command
        .arg("-o")
        .arg(log.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(TASK, number.to_string())
        .env("POWER_DIR", work.join(PLACE))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !done.status.success() && !matches!(run.after, After::Killed(_)) {
        // A sandbox may forbid tracing altogether, which says nothing about the store.
        let can_trace =
            Command::new(STRACE).arg("true").output().is_ok_and(|out| out.status.success());
        assert!(!can_trace, "the traced child failed: {done:?}");
        return None;
    }
    Some(fs::read_to_string(log.path()).unwrap())
}

/// Images are small and many: memory is the place for them.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// All files below a directory and what is in them, sorted; directories are empty files.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_owned();
            if path.is_dir() {
                left.push(path);
                found.push((name, Vec::new()));
            } else {
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
