use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
};

/// Stack size in bytes. The parsers of YAML and CEL recurse deeply: in a debug build, the permitted
/// nesting overflows the usual 2 MiB of a thread.
const STACK: usize = 16 << 20;

/// Work for the thread.
type ParseJob = Box<dyn FnOnce() + Send>;

/// Runs `work` on a thread with a large stack and waits for the result. The thread exists until the
/// process exits.
///
/// `None` if the work panicked, or if the system could not start the thread.
pub(super) fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static WORKER: OnceLock<Option<Sender<ParseJob>>> = OnceLock::new();
    let (sender, results) = channel();
    let job = move || {
        if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
            // The caller can have panicked meanwhile. No other thread needs the result.
            let _ = sender.send(done);
        }
    };
    WORKER.get_or_init(start).as_ref()?.send(Box::new(job)).ok()?;
    results.recv().ok()
}

/// Starts the thread; `None` if the system refuses it.
fn start() -> Option<Sender<ParseJob>> {
    let (jobs, inbox) = channel::<ParseJob>();
    let work = move || inbox.into_iter().for_each(|job| job());
    std::thread::Builder::new().name("parser".into()).stack_size(STACK).spawn(work).ok()?;
    Some(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_survives_a_panic() {
        assert_eq!(run(|| -> u8 { panic!("as tested") }), None);
        assert_eq!(run(|| 7), Some(7));
    }
}
