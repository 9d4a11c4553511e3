use std::{fmt::Write as _, path::Path};

use super::{JobCommand, OutputFile};

/// Where the journal is kept in the container: on the volume.
const STATE_DIR: &str = "/var/lib/stargate";
/// Where a workflow that does not ship is found in the container.
const WORKFLOWS_DIR: &str = "/etc/stargate/workflows";

/// A `CronJob`, and the claim of the volume that keeps the journal.
pub(super) fn output_file(command: &JobCommand<'_>) -> OutputFile {
    OutputFile { name: format!("{}.yaml", command.name()), text: claim(command) + &job(command) }
}

fn claim(command: &JobCommand<'_>) -> String {
    format!(
        "# The journal is on this volume: without it, a run that was killed could not go on. It must be kept between jobs,
# and reach every node that a job may run on; on a cluster of one node a hostPath will do in its place.
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {}
{}spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 1Gi
---
",
        command.name(),
        namespace(command)
    )
}

fn job(command: &JobCommand<'_>) -> String {
    let (name, cron) = (command.name(), quoted(&command.job.cron.to_string()));
    let zone = match &command.zone {
        Some(zone) => format!("  timeZone: {}\n", quoted(zone)),
        None => "  # By the clock of the cluster's own controller, which mostly is UTC.\n".into(),
    };
    format!(
        "apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
{}spec:
  schedule: {cron}
{zone}  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
{}          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            fsGroup: 65532
          containers:
            - name: stargate
              # An image of yours with this program, and ssh if the workflow reaches hosts.
              image: stargate:{}
              command: [stargate]
{}{}{}",
        namespace(command),
        account(command),
        env!("CARGO_PKG_VERSION"),
        arguments(command),
        environment(command, &name),
        volumes(command, &name),
    )
}

fn needs_account(command: &JobCommand<'_>) -> bool {
    command.uses(&["kubernetes.", "cilium."]) && command.settings.kubeconfig.is_none()
}

/// Where the account is.
fn namespace(command: &JobCommand<'_>) -> &'static str {
    if needs_account(command) { "  namespace: kube-system\n" } else { "" }
}

fn account(command: &JobCommand<'_>) -> &'static str {
    if !needs_account(command) {
        return "";
    }
    "          # provision-aks-router makes this account; it may do what sync-pod-routes does in the cluster, and no more.
          serviceAccountName: stargate-sync
"
}

fn arguments(command: &JobCommand<'_>) -> String {
    let mut words = command.words(&workflow(command), &format!("{STATE_DIR}/journal.db"));
    words.extend(command.inputs_as_flags());
    let mut text = String::from("              args:\n");
    for word in words {
        // Writing to a String cannot fail. $(…) would be a variable to Kubernetes.
        let _ = writeln!(text, "                - {}", quoted(&word.replace("$(", "$$(")));
    }
    text
}

fn workflow(command: &JobCommand<'_>) -> String {
    let name = command.job.text.name();
    if command.job.text.is_embedded() {
        return name.trim_end_matches(".yaml").to_owned();
    }
    let file = Path::new(name).file_name().map(|file| file.to_string_lossy().into_owned());
    format!("{WORKFLOWS_DIR}/{}", file.unwrap_or_default())
}

fn environment(command: &JobCommand<'_>, name: &str) -> String {
    let mut text = String::from("              env:\n                - {name: XDG_STATE_HOME, value: /var/lib}\n");
    let variables = command.variables();
    if !variables.is_empty() {
        let create = format!("kubectl create secret generic {name} --from-literal=NAME=VALUE");
        let _ = writeln!(text, "                # {create} ..."); // writing to a String cannot fail
    }
    for variable in variables {
        let reference = format!("secretKeyRef: {{name: {name}, key: {variable}}}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "                - {{name: {variable}, valueFrom: {{{reference}}}}}");
    }
    text
}

fn volumes(command: &JobCommand<'_>, name: &str) -> String {
    let ships = command.job.text.is_embedded();
    let folder = Path::new(command.job.text.name()).parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| ".".into(), |folder| folder.display().to_string());
    let mount = format!("                - {{name: workflows, mountPath: {WORKFLOWS_DIR}, readOnly: true}}\n");
    let volume = format!(
        "            # kubectl create configmap {name} --from-file={folder}
            - name: workflows
              configMap:
                name: {name}
"
    );
    let (mount, volume) = if ships { (String::new(), String::new()) } else { (mount, volume) };
    format!(
        "              volumeMounts:
                - {{name: state, mountPath: {STATE_DIR}}}
{mount}          volumes:
            - name: state
              persistentVolumeClaim:
                claimName: {name}
{volume}"
    )
}

/// A text as YAML reads it, quoted: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
