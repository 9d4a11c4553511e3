use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
};

/// The parsers of YAML and CEL recurse deeply: 2 MiB, what threads usually have, overflow within the depths that we
/// allow in a debug build.
const STACK: usize = 16 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// Runs `work` on a thread with a large stack that lives as long as the process, and waits for it.
///
/// `None` when it panicked, or when there is no such thread because the system gave none.
pub(super) fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static WORKER: OnceLock<Option<Sender<Job>>> = OnceLock::new();
    let (answer, answers) = channel();
    let job = move || {
        if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
            // Whoever asked may be gone; there is nobody else to tell.
            let _ = answer.send(done);
        }
    };
    WORKER.get_or_init(start).as_ref()?.send(Box::new(job)).ok()?;
    answers.recv().ok()
}

fn start() -> Option<Sender<Job>> {
    let (jobs, inbox) = channel::<Job>();
    let work = move || inbox.into_iter().for_each(|job| job());
    std::thread::Builder::new().name("parser".into()).stack_size(STACK).spawn(work).ok()?;
    Some(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_survived() {
        assert_eq!(run(|| -> u8 { panic!("as tested") }), None);
        assert_eq!(run(|| 7), Some(7));
    }
}
