use crate::world::SimWorld;

/// Workflow with two pods on one node of AKS; the first one sends a request to the second.
const PODS: &str = r#"
name: pods
steps:
  pods:
    uses: kubernetes.manifest.apply
    with:
      manifest:
        - &pod
          apiVersion: v1
          kind: Pod
          metadata: {name: one, namespace: default}
          spec: &spec
            nodeName: aks-nodepool1-41954725-vmss000000
            containers: [{name: c, image: "x:1", ports: [{containerPort: 8080}]}]
        - {<<: *pod, metadata: {name: two, namespace: default}}
  ready:
    needs: [pods]
    for_each: ${{ ["one", "two"] }}
    as: pod
    key: ${{ pod }}
    uses: kubernetes.condition.wait
    with: {api_version: v1, kind: Pod, namespace: default, name: "${{ pod }}", condition: Ready}
  two:
    needs: [ready]
    uses: kubernetes.object.get
    with: {api_version: v1, kind: Pod, namespace: default, name: two}
  asks:
    uses: kubernetes.pod.exec
    with:
      namespace: default
      pod: one
      command: [sh, -c, "cat > /asked; wget -qO- -T 3 http://${{ steps.two.outputs.object.status.podIP }}:8080 | tee -a /asked"]
      stdin: |
        once
      unless: [test, -e, /asked]
outputs:
  heard: ${{ steps.asks.outputs.stdout }}
"#;

/// Workflow with a command whose effect cannot be found out afterwards.
const BLIND: &str = "
name: blind
inputs: {repeatable: {type: boolean, default: false}}
steps:
  runs:
    uses: kubernetes.pod.exec
    with: {namespace: default, pod: one, command: [hostname], repeatable: \"${{ inputs.repeatable }}\"}
outputs:
  said: ${{ steps.runs.outputs.stdout }}
";

#[test]
fn a_command_in_a_pod_runs_once() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write("pods.yaml", PODS);
    let ran = program.expect(0, &["run", "workflow", "pods.yaml"]);
    assert!(ran.out.starts_with("heard: two 10.244."), "{ran:?}");
    let again = program.expect(0, &["run", "workflow", "pods.yaml"]);
    assert_eq!(again.out.trim(), "heard:");
    assert!(again.err.contains("no changes"), "{again:?}");
}

#[test]
fn a_command_with_unknown_outcome_is_in_doubt_unless_it_is_repeatable() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write("pods.yaml", PODS);
    program.write("blind.yaml", BLIND);
    program.expect(0, &["run", "workflow", "pods.yaml"]);
    for (repeatable, code) in [("false", 11), ("true", 0)] {
        world.hold("GET", "/exec");
        let running = program.spawn(&["run", "workflow", "blind.yaml", "-i", &format!("repeatable={repeatable}")]);
        world.wait_for_hold();
        running.kill();
        world.release();
        let ran = program.expect(code, &["resume"]);
        let output = if code == 0 { &ran.out } else { &ran.err };
        assert!(output.contains(if code == 0 { "said: one" } else { "repeatable: true" }), "{ran:?}");
    }
}
