//! Version of the program, with commit and date, as a macro: a build script would have every target
//! of its package compiled again after each commit, the library and all tests included.

use std::{env, path::Path, process::Command};

use proc_macro::TokenStream;

/// Shown for a commit or a date that cannot be found out.
const UNKNOWN: &str = "unknown";

/// Expands to a text such as `0.1.0 (commit 3f2a91c04b, 2026-11-28)`, of the package that contains
/// the call.
///
/// The date is that of `SOURCE_DATE_EPOCH` if it is set, otherwise that of the commit, in UTC.
/// Outside of the package's own repository, or without git, both are `unknown`.
///
/// The target that contains the call is compiled again when HEAD names another commit, because the
/// expansion includes the files that git changes then. None of their content is in the program.
#[proc_macro]
pub fn version(_: TokenStream) -> TokenStream {
    expansion().parse().unwrap_or_default()
}

/// Source text of the macro's expansion: one expression.
fn expansion() -> String {
    let repository = Repository::of_package();
    let commit = repository.as_ref().and_then(|it| it.git(&["rev-parse", "--short=10", "HEAD"]));
    let commit_time = || repository.as_ref()?.git(&["show", "-s", "--format=%ct", "HEAD"]);
    let seconds = env::var("SOURCE_DATE_EPOCH").ok().or_else(commit_time);
    let date = seconds.and_then(|text| text.trim().parse().ok()).map(date);
    let commit = commit.as_deref().unwrap_or(UNKNOWN);
    let text = format!(" (commit {commit}, {})", date.as_deref().unwrap_or(UNKNOWN));
    let mut watched = String::from("const _: Option<&str> = option_env!(\"SOURCE_DATE_EPOCH\");");
    for file in repository.iter().flat_map(Repository::files_of_head) {
        watched.extend(["const _: &[u8] = include_bytes!(", &format!("{file:?}"), ");"]);
    }
    format!("{{ {watched} concat!(env!(\"CARGO_PKG_VERSION\"), {text:?}) }}")
}

/// Git repository of a package.
struct Repository {
    /// Folder of the package, at the top of the repository.
    folder: String,
}

impl Repository {
    /// Repository whose top is the folder of the package that is compiled. The sources may also lie
    /// in a folder of another repository, whose commits say nothing about them.
    fn of_package() -> Option<Self> {
        let package = Self { folder: env::var("CARGO_MANIFEST_DIR").ok()? };
        let top = Path::new(&package.git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
        (Path::new(&package.folder).canonicalize().ok()? == top).then_some(package)
    }

    /// Returns the output of a git command, or `None` if git is missing or fails.
    fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git").args(["-C", &self.folder]).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    }

    /// Absolute paths of the files that change when HEAD names another commit: `logs/HEAD`, to
    /// which git appends then. A repository without it has the commit in the file of its branch, or
    /// in `packed-refs`.
    fn files_of_head(&self) -> Vec<String> {
        let path = |name: &str| {
            let path = Path::new(&self.folder).join(self.git(&["rev-parse", "--git-path", name])?);
            path.is_file().then(|| path.display().to_string())
        };
        if let Some(log) = path("logs/HEAD") {
            return vec![log];
        }
        let branch = self.git(&["symbolic-ref", "--quiet", "HEAD"]);
        ["HEAD", branch.as_deref().unwrap_or("HEAD"), "packed-refs"].into_iter().filter_map(path).collect()
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_date_is_that_of_the_day_in_utc() {
        let dates = [(0, "1970-01-01"), (951_782_399, "2000-02-28"), (951_782_400, "2000-02-29"), (-1, "1969-12-31")];
        for (seconds, expected) in dates {
            assert_eq!(super::date(seconds), expected);
        }
    }
}
