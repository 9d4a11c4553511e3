use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Parts of a boot in which cloud-init works, in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Cloud-init has not started in this boot.
    #[default]
    None,
    /// Stage `init-local`, before the network.
    Local,
    /// Stage `init`, with the network up.
    Init,
    /// Stage `modules-config`, before logins.
    Config,
    /// Stage `modules-final`, the last one, with packages and scripts.
    Final,
    /// Cloud-init has finished in this boot.
    Done,
}

/// State that cloud-init keeps about itself and reports in `cloud-init status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudInit {
    /// True if everything that runs once per machine has been done.
    pub instance_done: bool,
    /// Current stage of this boot.
    pub stage: Stage,
    /// Errors of this boot, as texts for people.
    pub errors: Vec<String>,
    /// Warnings of this boot, after which cloud-init continued.
    pub warnings: Vec<String>,
    /// Start of each stage, in seconds after the start of the boot.
    pub began: Vec<(Stage, f64)>,
}

/// Stages that `cloud-init status` lists, with the names that it uses.
const STAGES: [(Stage, &str); 4] = [
    (Stage::Init, "init"),
    (Stage::Local, "init-local"),
    (Stage::Config, "modules-config"),
    (Stage::Final, "modules-final"),
];

impl CloudInit {
    /// Returns true if cloud-init has finished in this boot.
    pub fn ended(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Enters a stage, `uptime` seconds after the start of the boot.
    pub fn enter(&mut self, stage: Stage, uptime: f64) {
        self.stage = stage;
        self.began.push((stage, (uptime * 100.0).round() / 100.0));
    }

    /// Starts another boot. Errors and warnings of the earlier boot are dropped.
    pub fn restart(&mut self) {
        self.stage = Stage::None;
        self.began.clear();
        self.errors.clear();
        self.warnings.clear();
    }

    /// Returns the status word: `not started`, `running`, `done` or `error`.
    pub fn status(&self) -> &'static str {
        match (self.stage, self.errors.is_empty()) {
            (Stage::None, _) => "not started",
            (Stage::Done, false) => "error",
            (Stage::Done, true) => "done",
            _ => "running",
        }
    }

    /// Returns the exit status of `cloud-init status`: 1 after an error, 2 after warnings only, 0
    /// otherwise.
    pub fn exit_status(&self) -> i32 {
        match (self.ended(), self.errors.is_empty(), self.warnings.is_empty()) {
            (true, false, _) => 1,
            (true, true, false) => 2,
            _ => 0,
        }
    }

    /// Returns the extended status word, which also names a degraded result.
    fn extended(&self) -> String {
        match (self.status(), self.warnings.is_empty()) {
            ("error", _) => "error - done".to_owned(),
            ("done", false) => "degraded done".to_owned(),
            ("running", false) => "degraded running".to_owned(),
            (status, _) => status.to_owned(),
        }
    }

    /// Returns the output of `cloud-init status --format=json`.
    pub fn json(&self) -> String {
        let recoverable = if self.warnings.is_empty() { json!({}) } else { json!({"WARNING": self.warnings}) };
        let mut shown = Map::new();
        let mut set = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
        set("boot_status_code", "enabled-by-generator".into());
        set("datasource", "nocloud".into());
        set("detail", "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]".into());
        set("errors", json!(self.errors));
        set("extended_status", self.extended().into());
        for (stage, name) in STAGES {
            set(name, self.shown(stage));
        }
        set("last_update", "Thu, 01 Jan 1970 01:05:33 +0000".into());
        set("recoverable_errors", recoverable);
        let now = STAGES.iter().find(|(stage, _)| *stage == self.stage).map(|(_, name)| *name);
        set("stage", now.into());
        set("status", self.status().into());
        shown.sort_keys();
        format!("{:#}\n", Value::Object(shown))
    }

    /// Returns the output of `cloud-init status --long`.
    pub fn long(&self) -> String {
        let errors = if self.errors.is_empty() {
            " []".to_owned()
        } else {
            self.errors.iter().flat_map(|error| ["\n\t- ", error]).collect()
        };
        format!(
            "status: {}\nextended_status: {}\nboot_status_code: enabled-by-generator\ndetail: DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]\nerrors:{errors}\nrecoverable_errors: {{}}\n",
            self.status(),
            self.extended()
        )
    }

    /// Returns the part of the JSON status that describes one stage.
    fn shown(&self, stage: Stage) -> Value {
        let at = self.began.iter().position(|(began, _)| *began == stage);
        let start = at.map(|at| self.began[at].1);
        let finished = at.and_then(|at| self.began.get(at + 1)).map(|(_, next)| *next);
        let last = stage == Stage::Final;
        let errors = if last { self.errors.clone() } else { Vec::new() };
        let complains = stage == Stage::Init && !self.warnings.is_empty();
        let recoverable = if complains { json!({"WARNING": self.warnings}) } else { json!({}) };
        json!({"errors": errors, "finished": finished, "recoverable_errors": recoverable, "start": start})
    }
}
