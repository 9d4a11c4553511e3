use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::workloads::{living, start, stop, write_status};
use crate::kube::effect::Effect;
use crate::kube::json::{at, holds, is_terminating, list_at, name_of, namespace_of, rfc3339, set, str_at, uid_of};
use crate::kube::resource::core;
use crate::kube::state::Kube;

/// Returns all jobs that are not being deleted.
pub(super) fn jobs(kube: &Kube, _: Timestamp) -> Vec<Value> {
    living(kube, "jobs.batch")
}

/// Pods of a job by their phase.
struct JobPods {
    active: Vec<Value>,
    succeeded: i64,
    failed: i64,
}

/// Runs the pods of a job until enough have succeeded, too many have failed or it is late, and
/// removes a finished job after its time to live.
///
/// Completions have no index, and a failed pod is replaced without a delay.
pub(super) fn reconcile(kube: &Kube, job: &Value, now: Timestamp) -> Vec<Effect> {
    if holds(job, "Complete") || holds(job, "Failed") {
        return if is_outlived(kube, job, now) { vec![removal(job)] } else { Vec::new() };
    }
    let pods = pods_of(kube, job);
    let count = |field: &str, default| at(job, &["spec", field]).and_then(Value::as_i64).unwrap_or(default);
    let completions = count("completions", 1);
    let reason = if is_late(kube, job, now) {
        Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else if pods.failed > count("backoffLimit", 6) {
        Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if pods.succeeded >= completions {
        Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
    } else {
        None
    };
    let mut effects = Vec::new();
    let active = i64::try_from(pods.active.len()).unwrap_or_default();
    let wanted = count("parallelism", 1).min(completions - pods.succeeded);
    let active = if reason.is_some() {
        effects.extend(pods.active.iter().flat_map(|pod| stop(kube, pod, now)));
        0
    } else {
        effects.extend((active..wanted).map(|_| start(&with_labels(job), None)));
        active.max(wanted)
    };
    let status = status(job, (active, pods.succeeded, pods.failed), reason, now);
    effects.push(write_status(&core("jobs"), job, status, now));
    effects
}

fn pods_of(kube: &Kube, job: &Value) -> JobPods {
    let mut pods = JobPods { active: Vec::new(), succeeded: 0, failed: 0 };
    for pod in kube.owned_by("pods", uid_of(job)) {
        match str_at(&pod, &["status", "phase"]) {
            "Succeeded" => pods.succeeded += 1,
            "Failed" => pods.failed += 1,
            _ if is_terminating(&pod) => {}
            _ => pods.active.push(pod),
        }
    }
    pods
}

/// Returns the job with the labels that its pods get from the server.
fn with_labels(job: &Value) -> Value {
    let mut job = job.clone();
    let (uid, name) = (uid_of(&job).to_owned(), name_of(&job).to_owned());
    for (label, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        set(&mut job, &["spec", "template", "metadata", "labels", label], json!(value));
    }
    job
}

/// Returns true if a job has been active for longer than `activeDeadlineSeconds`.
fn is_late(kube: &Kube, job: &Value, now: Timestamp) -> bool {
    has_passed(kube, str_at(job, &["status", "startTime"]), at(job, &["spec", "activeDeadlineSeconds"]), now)
}

/// Returns true if a job finished longer ago than `ttlSecondsAfterFinished`.
fn is_outlived(kube: &Kube, job: &Value, now: Timestamp) -> bool {
    let conditions = list_at(job, &["status", "conditions"]).iter();
    let ended = conditions.map(|condition| str_at(condition, &["lastTransitionTime"])).next_back().unwrap_or_default();
    has_passed(kube, ended, at(job, &["spec", "ttlSecondsAfterFinished"]), now)
}

fn has_passed(kube: &Kube, since: &str, seconds: Option<&Value>, now: Timestamp) -> bool {
    let (Ok(since), Some(seconds)) = (since.parse::<Timestamp>(), seconds.and_then(Value::as_i64)) else {
        return false;
    };
    let remaining = SignedDuration::from_secs(seconds.saturating_sub(kube.jobs_ahead_seconds.into()));
    since.checked_add(remaining).is_ok_and(|end| end <= now)
}

/// Returns true if a job has reached the end of its time.
pub(crate) fn is_due(kube: &Kube, now: Timestamp) -> bool {
    kube.all("jobs.batch").any(|job| {
        let has_ended = holds(job, "Complete") || holds(job, "Failed");
        if has_ended { is_outlived(kube, job, now) } else { is_late(kube, job, now) }
    })
}

fn removal(job: &Value) -> Effect {
    let jobs = core("jobs");
    let key = jobs.place(namespace_of(job), name_of(job));
    Effect::Remove { resource: jobs, key }
}

fn status(
    job: &Value,
    (active, succeeded, failed): (i64, i64, i64),
    end: Option<(&str, &str, &str)>,
    now: Timestamp,
) -> Value {
    let began = at(job, &["status", "startTime"]).cloned().unwrap_or_else(|| rfc3339(now));
    let mut status = json!({ "startTime": began, "uncountedTerminatedPods": {} });
    for (field, number) in [("active", active), ("succeeded", succeeded), ("failed", failed)] {
        if number > 0 {
            status[field] = json!(number);
        }
    }
    if let Some((kind, reason, message)) = end {
        status["conditions"] = json!([{ "type": kind, "status": "True", "reason": reason, "message": message }]);
        if kind == "Complete" {
            status["completionTime"] = rfc3339(now);
        }
    }
    status
}
