//! Passes commit and date to the program, for `stargate --version`.

use std::{env, path::Path, process::Command};

/// Shown for what cannot be found out.
const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let has_repository = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| is_package(&top));
    if has_repository {
        watch_head();
    }
    let in_repository = |arguments: &[&str]| if has_repository { git(arguments) } else { None };
    let commit = in_repository(&["rev-parse", "--short=10", "HEAD"]);
    let seconds = env::var("SOURCE_DATE_EPOCH").ok().or_else(|| in_repository(&["show", "-s", "--format=%ct", "HEAD"]));
    let date = seconds.and_then(|text| text.trim().parse().ok()).map(date);
    println!("cargo::rustc-env=STARGATE_COMMIT={}", commit.as_deref().unwrap_or(UNKNOWN));
    println!("cargo::rustc-env=STARGATE_DATE={}", date.as_deref().unwrap_or(UNKNOWN));
}

/// Returns the output of a git command, or `None` if git is missing or fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// True if `top` is the folder of this package. The sources may also lie in a folder of another
/// repository, whose commits say nothing about them.
fn is_package(top: &str) -> bool {
    let package = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    Path::new(top).canonicalize().is_ok_and(|top| Path::new(&package).canonicalize().is_ok_and(|own| own == top))
}

/// Runs this script again when HEAD names another commit. Git appends to `logs/HEAD` whenever that
/// happens. A repository without that file has the commit in the file of its branch, or in
/// `packed-refs`.
fn watch_head() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let path = |name: &str| git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
    let files = match path("logs/HEAD") {
        Some(log) => vec![log],
        None => ["HEAD", branch.as_deref().unwrap_or("HEAD"), "packed-refs"].into_iter().filter_map(path).collect(),
    };
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
}

/// Writes seconds since the Unix epoch as `2026-11-28`, in UTC: Howard Hinnant's `civil_from_days`.
fn date(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097)); // an era has 400 years
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // from March
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
