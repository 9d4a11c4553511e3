//! Configuration for Kubernetes: a `CronJob` with a persistent journal.

use std::{fmt::Write as _, path::Path};

use super::{JobCommand, OutputFile};
use crate::cli::Failure;

/// Folder of the journal in the container: the mount point of the volume.
const STATE_DIR: &str = "/var/lib/stargate";
/// Folder of a workflow that does not ship with the program, in the container.
const WORKFLOWS_DIR: &str = "/etc/stargate/workflows";

/// Returns a `CronJob` and the claim for the volume of its journal.
///
/// # Errors
/// A usage failure if the time zone has no name: Kubernetes has no other way to set it.
pub(super) fn output_file(command: &JobCommand<'_>) -> Result<OutputFile, Failure> {
    let Some(zone) = &command.zone else {
        let message = "the time zone of this process has no name, which a CronJob needs";
        return Err(Failure::usage(message, "set TZ to a name such as Europe/Berlin"));
    };
    Ok(OutputFile { name: format!("{}.yaml", command.name()), text: claim(command) + &job(command, zone) })
}

/// Returns the claim for the volume of the journal.
fn claim(command: &JobCommand<'_>) -> String {
    format!(
        "# This volume stores the journal: without it, a run that was killed could not be resumed. It must be kept between
# jobs, and be accessible on each node that runs a job; a cluster of one node can use a hostPath instead.
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

/// Returns the `CronJob`. It runs at most one job at a time and never retries: the next job resumes
/// the run.
fn job(command: &JobCommand<'_>, zone: &str) -> String {
    let (name, cron) = (command.name(), quoted(&command.job.cron.to_string()));
    let zone = quoted(zone);
    format!(
        "apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
{}spec:
  schedule: {cron}
  timeZone: {zone}
  concurrencyPolicy: Forbid
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
              # Your image with this program, and with ssh if the workflow connects to hosts.
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

/// True if the job accesses the cluster with the service account of its pod.
fn needs_account(command: &JobCommand<'_>) -> bool {
    command.uses(&["kubernetes.", "cilium."]) && command.settings.kubeconfig.is_none()
}

/// Returns the namespace, which must be that of the service account.
fn namespace(command: &JobCommand<'_>) -> &'static str {
    if needs_account(command) { "  namespace: kube-system\n" } else { "" }
}

/// Returns the line that sets the service account, or an empty text.
fn account(command: &JobCommand<'_>) -> &'static str {
    if !needs_account(command) {
        return "";
    }
    "          # provision-aks-router creates this account; it has only the permissions that sync-pod-routes needs.
          serviceAccountName: stargate-sync
"
}

/// Returns the arguments of the container, one per line.
fn arguments(command: &JobCommand<'_>) -> String {
    let mut words = command.arguments(&workflow(command), &format!("{STATE_DIR}/journal.db"));
    words.extend(command.inputs_as_flags());
    let mut text = String::from("              args:\n");
    for word in words {
        // Writing to a String cannot fail. Kubernetes would replace $(…) by a variable.
        let _ = writeln!(text, "                - {}", quoted(&word.replace("$(", "$$(")));
    }
    text
}

/// Returns the name of the workflow in the container.
fn workflow(command: &JobCommand<'_>) -> String {
    let name = command.job.text.name();
    if command.job.text.is_embedded() {
        return name.trim_end_matches(".yaml").to_owned();
    }
    let file = Path::new(name).file_name().map(|file| file.to_string_lossy().into_owned());
    format!("{WORKFLOWS_DIR}/{}", file.unwrap_or_default())
}

/// Returns the environment variables of the container. Secrets are read from a Kubernetes secret.
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

/// Returns the volumes: the journal, and a config map with the workflow if it does not ship.
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

/// Quotes a text for YAML: a JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
