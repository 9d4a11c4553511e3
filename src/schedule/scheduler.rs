use futures::{StreamExt, stream::FuturesUnordered};
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, UnixMillis},
    workflow::Cron,
};

/// What is to be done, and when.
#[derive(Debug)]
pub struct Agenda<'a> {
    /// When each thing is due.
    pub crons: &'a [Cron],
    /// The time.
    pub clock: &'a Clock,
    /// By which clocks.
    pub zone: &'a TimeZone,
    /// Ends it: nothing more is begun, what goes on is waited for.
    pub stop: &'a CancellationToken,
}

/// Calls `begin` with the index of whatever is due, until it is stopped.
///
/// What is still going on when it is due again is left alone, and `skipped` is told. What was due several times while
/// the machine slept is done once.
pub async fn serve<F: Future<Output = ()>>(agenda: Agenda<'_>, begin: impl Fn(usize) -> F, skipped: impl Fn(usize)) {
    let next = |cron: &Cron| cron.next_after(agenda.clock.now(), agenda.zone);
    let mut due: Vec<Option<UnixMillis>> = agenda.crons.iter().map(next).collect();
    let mut going = vec![false; due.len()];
    let mut runs = FuturesUnordered::new();
    loop {
        let earliest = due.iter().flatten().min().copied();
        tokio::select! {
            biased;
            () = agenda.stop.cancelled() => break,
            Some(done) = runs.next(), if !runs.is_empty() => going[done] = false,
            () = agenda.clock.until(earliest.unwrap_or(UnixMillis(i64::MAX))) => {
                let now = agenda.clock.now();
                for at in 0..due.len() {
                    if due[at].is_none_or(|due| due > now) {
                        continue;
                    }
                    due[at] = next(&agenda.crons[at]);
                    if std::mem::replace(&mut going[at], true) {
                        skipped(at);
                    } else {
                        let run = begin(at);
                        runs.push(async move {
                            run.await;
                            at
                        });
                    }
                }
            }
        }
    }
    while runs.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::VecDeque, rc::Rc};

    use tokio::{sync::oneshot, task::yield_now};

    use super::*;

    /// What a schedule did, and the ends of what it began that is still going on.
    #[derive(Default)]
    struct Seen {
        said: RefCell<Vec<String>>,
        going: RefCell<VecDeque<oneshot::Sender<()>>>,
    }

    impl Seen {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.said.borrow_mut())
        }

        fn end_one(&self) {
            let end = self.going.borrow_mut().pop_front().expect("something goes on");
            end.send(()).expect("it waits for its end");
        }
    }

    /// Plays `play` beside a schedule of `crons` that begins at 00:00:30.
    async fn on<F: Future<Output = ()>>(crons: &[&str], play: impl FnOnce(Clock, Rc<Seen>, CancellationToken) -> F) {
        let crons: Vec<Cron> = crons.iter().map(|cron| cron.parse().expect("a schedule")).collect();
        let (clock, seen, stop) =
            (Clock::fixed(UnixMillis(30_000)), Rc::new(Seen::default()), CancellationToken::new());
        let begin = |at: usize| {
            let (end, ended) = oneshot::channel();
            seen.said.borrow_mut().push(format!("begin {at}"));
            seen.going.borrow_mut().push_back(end);
            async move { ended.await.expect("the play ends it") }
        };
        let skipped = |at: usize| seen.said.borrow_mut().push(format!("skip {at}"));
        let agenda = Agenda { crons: &crons, clock: &clock, zone: &TimeZone::UTC, stop: &stop };
        tokio::join!(serve(agenda, begin, skipped), play(clock.clone(), Rc::clone(&seen), stop.clone()));
    }

    /// Lets the schedule do what it can do now.
    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    async fn at(clock: &Clock, minute: i64) {
        clock.set(UnixMillis(minute * 60_000));
        settle().await;
    }

    #[tokio::test]
    async fn what_is_due_is_begun_and_what_still_goes_on_is_skipped() {
        on(&["*/5 * * * *", "*/2 * * * *"], |clock, seen, stop| async move {
            at(&clock, 1).await;
            assert_eq!(seen.take(), [""; 0], "nothing is due yet");
            at(&clock, 2).await;
            assert_eq!(seen.take(), ["begin 1"]);
            at(&clock, 4).await;
            assert_eq!(seen.take(), ["skip 1"]);
            seen.end_one();
            settle().await;
            at(&clock, 5).await;
            assert_eq!(seen.take(), ["begin 0"]);
            at(&clock, 6).await;
            assert_eq!(seen.take(), ["begin 1"]);
            seen.end_one();
            seen.end_one();
            stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn what_was_missed_is_done_once() {
        on(&["*/5 * * * *"], |clock, seen, stop| async move {
            at(&clock, 61).await;
            assert_eq!(seen.take(), ["begin 0"]);
            seen.end_one();
            settle().await;
            at(&clock, 64).await;
            assert_eq!(seen.take(), [""; 0]);
            at(&clock, 65).await;
            assert_eq!(seen.take(), ["begin 0"]);
            seen.end_one();
            stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn a_stop_begins_nothing_more_and_waits_for_what_goes_on() {
        on(&["*/5 * * * *"], |clock, seen, stop| async move {
            at(&clock, 5).await;
            stop.cancel();
            settle().await;
            at(&clock, 10).await;
            assert_eq!(seen.take(), ["begin 0"]);
            seen.end_one();
        })
        .await;
    }
}
