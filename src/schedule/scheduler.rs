use std::cell::RefCell;

use futures::{StreamExt, stream::FuturesUnordered};
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, UnixMillis},
    workflow::Cron,
};

/// Schedules of some jobs, with the clock that they follow.
#[derive(Debug)]
pub struct JobQueue<'a> {
    /// Schedule of each job. One that is replaced while its job runs is in force from the end of
    /// that run.
    pub crons: &'a RefCell<Vec<Cron>>,
    /// Jobs that are started at once, because they were due earlier.
    pub missed: &'a [usize],
    /// Source of the time.
    pub clock: &'a Clock,
    /// Time zone of the schedules.
    pub zone: &'a TimeZone,
    /// Token that ends [`serve`]: no further job is started, running ones are awaited.
    pub stop: &'a CancellationToken,
}

impl JobQueue<'_> {
    /// Returns the next time of a job; `None` if its schedule has no further one.
    fn next(&self, job: usize) -> Option<UnixMillis> {
        self.crons.borrow()[job].next_after(self.clock.now(), self.zone)
    }

    /// Returns the next time of each job.
    fn next_of_all(&self) -> Vec<Option<UnixMillis>> {
        let count = self.crons.borrow().len();
        (0..count).map(|job| self.next(job)).collect()
    }
}

/// Calls `start` with the index of each job that is due and with the time at which it was due,
/// until `stop` is cancelled and the running jobs have ended.
///
/// A job that is due while it is still running is not started again: `skipped` is called with its
/// index. A job that was due several times while the machine was suspended is started once. If the
/// clock is set back, the next times are computed again.
///
/// A job that is due at the same time as `stop` is cancelled is not started. The jobs run inside
/// the returned future: if it is dropped, they are dropped too.
pub async fn serve<F: Future<Output = ()>>(
    queue: JobQueue<'_>,
    start: impl Fn(usize, UnixMillis) -> F,
    skipped: impl Fn(usize),
) {
    let mut seen = queue.clock.now();
    let mut due = queue.next_of_all();
    for &job in queue.missed {
        due[job] = Some(seen);
    }
    let mut running = vec![false; due.len()];
    let mut runs = FuturesUnordered::new();
    loop {
        let earliest = due.iter().flatten().min().copied().unwrap_or(UnixMillis(i64::MAX));
        tokio::select! {
            // In this order a stop wins over a due job, and a job that has ended can start again.
            biased;
            () = queue.stop.cancelled() => break,
            Some((job, has_changed)) = runs.next(), if !runs.is_empty() => {
                running[job] = false;
                seen = seen.max(queue.clock.now());
                if has_changed {
                    due[job] = queue.next(job);
                }
            }
            is_due = queue.clock.until_or_set_back(earliest, seen) => {
                seen = queue.clock.now();
                if !is_due {
                    due = queue.next_of_all();
                    continue;
                }
                for job in 0..due.len() {
                    let Some(at) = due[job].filter(|at| *at <= seen) else { continue };
                    due[job] = queue.next(job);
                    if std::mem::replace(&mut running[job], true) {
                        skipped(job);
                        continue;
                    }
                    let (run, queue) = (start(job, at), &queue);
                    let cron = queue.crons.borrow()[job].clone();
                    runs.push(async move {
                        run.await;
                        (job, queue.crons.borrow()[job] != cron)
                    });
                }
            }
        }
    }
    // After a stop, the jobs that are still running finish.
    while runs.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, rc::Rc};

    use tokio::{sync::oneshot, task::yield_now};

    use super::*;

    /// Calls of the scheduler, and senders that end the running jobs.
    #[derive(Default)]
    struct Recorder {
        calls: RefCell<Vec<String>>,
        running: RefCell<VecDeque<oneshot::Sender<()>>>,
        crons: RefCell<Vec<Cron>>,
    }

    impl Recorder {
        /// Returns the calls since the last time.
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.calls.borrow_mut())
        }

        /// Ends the job that has been running longest.
        fn end_one(&self) {
            let end = self.running.borrow_mut().pop_front().expect("a job is running");
            end.send(()).expect("the job waits for its end");
        }
    }

    /// Runs `scenario` together with a scheduler of `crons` that starts at 00:00:30.
    async fn with_schedule<F: Future<Output = ()>>(
        crons: &[&str],
        scenario: impl FnOnce(Clock, Rc<Recorder>, CancellationToken) -> F,
    ) {
        with_missed(crons, &[], scenario).await;
    }

    /// Like [`with_schedule`], with jobs that were due earlier.
    async fn with_missed<F: Future<Output = ()>>(
        crons: &[&str],
        missed: &[usize],
        scenario: impl FnOnce(Clock, Rc<Recorder>, CancellationToken) -> F,
    ) {
        let (clock, recorder, stop) =
            (Clock::fixed(UnixMillis(30_000)), Rc::new(Recorder::default()), CancellationToken::new());
        *recorder.crons.borrow_mut() = crons.iter().map(|cron| cron.parse().expect("a schedule")).collect();
        let start = |at: usize, _: UnixMillis| {
            let (end, ended) = oneshot::channel();
            recorder.calls.borrow_mut().push(format!("start {at}"));
            recorder.running.borrow_mut().push_back(end);
            async move { ended.await.expect("the scenario ends the job") }
        };
        let skipped = |at: usize| recorder.calls.borrow_mut().push(format!("skip {at}"));
        let queue = JobQueue { crons: &recorder.crons, missed, clock: &clock, zone: &TimeZone::UTC, stop: &stop };
        tokio::join!(serve(queue, start, skipped), scenario(clock.clone(), Rc::clone(&recorder), stop.clone()));
    }

    /// Lets the scheduler handle the current time.
    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    /// Sets the clock to a minute after midnight.
    async fn at(clock: &Clock, minute: i64) {
        clock.set(UnixMillis(minute * 60_000));
        settle().await;
    }

    #[tokio::test]
    async fn a_due_job_is_started_and_a_running_one_is_skipped() {
        with_schedule(&["*/5 * * * *", "*/2 * * * *"], |clock, recorder, stop| async move {
            at(&clock, 1).await;
            assert_eq!(recorder.take(), [""; 0], "nothing is due yet");
            at(&clock, 2).await;
            assert_eq!(recorder.take(), ["start 1"]);
            at(&clock, 4).await;
            assert_eq!(recorder.take(), ["skip 1"]);
            recorder.end_one();
            settle().await;
            at(&clock, 5).await;
            assert_eq!(recorder.take(), ["start 0"]);
            at(&clock, 6).await;
            assert_eq!(recorder.take(), ["start 1"]);
            recorder.end_one();
            recorder.end_one();
            stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn a_job_that_was_missed_several_times_is_started_once() {
        with_schedule(&["*/5 * * * *"], |clock, recorder, stop| async move {
            at(&clock, 61).await;
            assert_eq!(recorder.take(), ["start 0"]);
            recorder.end_one();
            settle().await;
            at(&clock, 64).await;
            assert_eq!(recorder.take(), [""; 0]);
            at(&clock, 65).await;
            assert_eq!(recorder.take(), ["start 0"]);
            recorder.end_one();
            stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn a_job_is_due_again_when_the_clock_is_set_back() {
        with_schedule(&["*/5 * * * *"], |clock, recorder, stop| async move {
            at(&clock, 605).await;
            assert_eq!(recorder.take(), ["start 0"]);
            recorder.end_one();
            settle().await;
            // A correction does not start the job again.
            clock.set(UnixMillis(605 * 60_000 - 500));
            settle().await;
            at(&clock, 605).await;
            assert_eq!(recorder.take(), [""; 0]);
            at(&clock, 2).await;
            assert_eq!(recorder.take(), [""; 0]);
            at(&clock, 5).await;
            assert_eq!(recorder.take(), ["start 0"]);
            at(&clock, 9_000).await;
            assert_eq!(recorder.take(), ["skip 0"], "set forward while the job runs");
            recorder.end_one();
            settle().await;
            at(&clock, 9_005).await;
            assert_eq!(recorder.take(), ["start 0"]);
            recorder.end_one();
            stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn a_schedule_that_is_replaced_is_in_force_after_the_run() {
        with_schedule(&["*/5 * * * *"], |clock, recorder, stop| async move {
            at(&clock, 5).await;
            assert_eq!(recorder.take(), ["start 0"]);
            recorder.crons.borrow_mut()[0] = "7 * * * *".parse().expect("a schedule");
            recorder.end_one();
            settle().await;
            at(&clock, 6).await;
            assert_eq!(recorder.take(), [""; 0]);
            at(&clock, 7).await;
            assert_eq!(recorder.take(), ["start 0"]);
            recorder.end_one();
            stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn a_missed_job_is_started_at_once() {
        with_missed(&["*/5 * * * *", "*/5 * * * *"], &[1], |clock, recorder, stop| async move {
            settle().await;
            assert_eq!(recorder.take(), ["start 1"]);
            recorder.end_one();
            settle().await;
            at(&clock, 5).await;
            assert_eq!(recorder.take(), ["start 0", "start 1"]);
            recorder.end_one();
            recorder.end_one();
            stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn a_stop_starts_no_further_job_and_waits_for_running_ones() {
        with_schedule(&["*/5 * * * *"], |clock, recorder, stop| async move {
            at(&clock, 5).await;
            stop.cancel();
            settle().await;
            at(&clock, 10).await;
            assert_eq!(recorder.take(), ["start 0"]);
            recorder.end_one();
        })
        .await;
    }
}
