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
    /// Schedule of each job.
    pub crons: &'a [Cron],
    /// Source of the time.
    pub clock: &'a Clock,
    /// Time zone of the schedules.
    pub zone: &'a TimeZone,
    /// Token that ends [`serve`]: no further job is started, running ones are awaited.
    pub stop: &'a CancellationToken,
}

/// Calls `start` with the index of each job that is due, until `stop` is cancelled and the running
/// jobs have ended.
///
/// A job that is due while it is still running is not started again: `skipped` is called with its
/// index. A job that was due several times while the machine was suspended is started once.
///
/// A job that is due at the same time as `stop` is cancelled is not started. The jobs run inside
/// the returned future: if it is dropped, they are dropped too.
pub async fn serve<F: Future<Output = ()>>(queue: JobQueue<'_>, start: impl Fn(usize) -> F, skipped: impl Fn(usize)) {
    let next = |cron: &Cron| cron.next_after(queue.clock.now(), queue.zone);
    // Next time of each job; `None` if its schedule has no further one.
    let mut due: Vec<Option<UnixMillis>> = queue.crons.iter().map(next).collect();
    let mut running = vec![false; due.len()];
    let mut runs = FuturesUnordered::new();
    loop {
        let earliest = due.iter().flatten().min().copied();
        tokio::select! {
            // In this order a stop wins over a due job, and a job that has ended can start again.
            biased;
            () = queue.stop.cancelled() => break,
            Some(job) = runs.next(), if !runs.is_empty() => running[job] = false,
            () = queue.clock.until(earliest.unwrap_or(UnixMillis(i64::MAX))) => {
                let now = queue.clock.now();
                for job in 0..due.len() {
                    if due[job].is_none_or(|due| due > now) {
                        continue;
                    }
                    due[job] = next(&queue.crons[job]);
                    if std::mem::replace(&mut running[job], true) {
                        skipped(job);
                    } else {
                        let run = start(job);
                        runs.push(async move {
                            run.await;
                            job
                        });
                    }
                }
            }
        }
    }
    // After a stop, the jobs that are still running finish.
    while runs.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::VecDeque, rc::Rc};

    use tokio::{sync::oneshot, task::yield_now};

    use super::*;

    /// Calls of the scheduler, and senders that end the running jobs.
    #[derive(Default)]
    struct Recorder {
        calls: RefCell<Vec<String>>,
        running: RefCell<VecDeque<oneshot::Sender<()>>>,
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
        let crons: Vec<Cron> = crons.iter().map(|cron| cron.parse().expect("a schedule")).collect();
        let (clock, recorder, stop) =
            (Clock::fixed(UnixMillis(30_000)), Rc::new(Recorder::default()), CancellationToken::new());
        let start = |at: usize| {
            let (end, ended) = oneshot::channel();
            recorder.calls.borrow_mut().push(format!("start {at}"));
            recorder.running.borrow_mut().push_back(end);
            async move { ended.await.expect("the scenario ends the job") }
        };
        let skipped = |at: usize| recorder.calls.borrow_mut().push(format!("skip {at}"));
        let queue = JobQueue { crons: &crons, clock: &clock, zone: &TimeZone::UTC, stop: &stop };
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
