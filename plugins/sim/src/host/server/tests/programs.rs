use serde_json::json;

use super::rig::{ROUTER, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn commands_answer_as_captured() {
    let rig = Rig::joined().await;
    rig.check("nothing-here --flag", 127, "", "bash: line 1: nothing-here: command not found\n").await;
    rig.check("sh -c 'nothing-here --flag'", 127, "", "sh: 1: nothing-here: not found\n").await;
    rig.check("sysctl net.ipv4.ip_forward", 127, "", "bash: line 1: sysctl: command not found\n").await;
    rig.check(
        "/usr/sbin/sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.ipv4.conf.all.src_valid_mark; sudo /usr/sbin/sysctl -w net.ipv4.ip_forward=1; /usr/sbin/sysctl net.ipv4.nothing",
        1,
        "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.rp_filter = 2\nnet.ipv4.conf.all.src_valid_mark = 1\nnet.ipv4.ip_forward = 1\n",
        "sysctl: cannot stat /proc/sys/net/ipv4/nothing: No such file or directory\n",
    )
    .await;
    rig.check(
        "sudo ip route add 10.244.0.0/24 via 10.237.0.1; sudo ip route add 10.244.0.0/24 via 10.237.0.1",
        2,
        "",
        "RTNETLINK answers: File exists\n",
    )
    .await;
    rig.check(
        "sudo ip route del 10.244.0.0/24 via 10.237.0.1; sudo ip route del 10.244.0.0/24 via 10.237.0.1",
        2,
        "",
        "RTNETLINK answers: No such process\n",
    )
    .await;
    rig.check("sudo ip route replace 10.244.9.0/24 via 10.99.0.1", 2, "", "Error: Nexthop has invalid gateway.\n")
        .await;
    rig.check(
        "ip -json route show table main",
        0,
        "[{\"dst\":\"default\",\"gateway\":\"10.237.0.1\",\"dev\":\"eth0\",\"protocol\":\"static\",\"flags\":[]},{\"dst\":\"10.237.0.0/24\",\"dev\":\"eth0\",\"protocol\":\"kernel\",\"scope\":\"link\",\"prefsrc\":\"10.237.0.4\",\"flags\":[]}]\n",
        "",
    )
    .await;
    rig.check(
        "ip -json rule",
        0,
        "[{\"priority\":0,\"src\":\"all\",\"table\":\"local\"},{\"priority\":5210,\"src\":\"all\",\"fwmark\":\"0x80000\",\"fwmask\":\"0xff0000\",\"table\":\"main\"},{\"priority\":5230,\"src\":\"all\",\"fwmark\":\"0x80000\",\"fwmask\":\"0xff0000\",\"table\":\"default\"},{\"priority\":5250,\"src\":\"all\",\"fwmark\":\"0x80000\",\"fwmask\":\"0xff0000\",\"action\":\"unreachable\"},{\"priority\":5270,\"src\":\"all\",\"table\":\"52\"},{\"priority\":32766,\"src\":\"all\",\"table\":\"main\"},{\"priority\":32767,\"src\":\"all\",\"table\":\"default\"}]\n",
        "",
    )
    .await;
    rig.check(
        "systemctl is-active tailscaled; systemctl is-active nothing; systemctl is-enabled tailscaled nothing",
        0,
        "active\ninactive\nenabled\nnot-found\n",
        "",
    )
    .await;
    rig.check(
        "systemctl show nothing --property=LoadState,ActiveState,SubState,UnitFileState",
        0,
        "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n",
        "",
    )
    .await;
    rig.check(
        r"sudo apt-get install -y containerd runc >/dev/null; dpkg-query -W -f='${Package} ${Version} ${db:Status-Abbrev}\n' containerd runc nothing",
        1,
        "containerd 1.7.24~ds1-6+deb13u1 ii \nrunc 1.1.15+ds1-2+b4 ii \n",
        "dpkg-query: no packages found matching nothing\n",
    )
    .await;
    rig.check("cat /root/x", 1, "", "cat: /root/x: Permission denied\n").await;
    rig.check("echo a > /etc/x", 1, "", "bash: /etc/x: Permission denied\n").await;
    rig.check("sh -c 'echo a > /etc/x'", 2, "", "sh: 1: cannot create /etc/x: Permission denied\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tailscale_answers_as_captured() {
    let rig = Rig::joined().await;
    rig.check(
        "sudo tailscale set --advertise-routes=10.244.65.1/24",
        1,
        "",
        "10.244.65.1/24 has non-address bits set; expected 10.244.65.0/24\n",
    )
    .await;
    rig.check(
        "sudo tailscale set --advertise-routes=garbage",
        1,
        "",
        "\"garbage\" is not a valid IP address or CIDR prefix\n",
    )
    .await;
    rig.check(
        "tailscale set --hostname=other",
        1,
        "",
        "Access denied: checkprefs access denied\n\nUse 'sudo tailscale set --hostname=other'.\nTo not require root, use 'sudo tailscale set --operator=$USER' once.\n",
    )
    .await;
    rig.check("sudo tailscale set --advertise-routes=10.237.0.0/24,10.224.0.0/16", 0, "", "").await;
    rig.check(
        "sudo tailscale up --hostname=other",
        1,
        "",
        "Error: changing settings via 'tailscale up' requires mentioning all\nnon-default flags. To proceed, either re-run your command with --reset or\nuse the command below to explicitly mention the current value of\nall non-default settings:\n\n\ttailscale up --hostname=other --accept-dns=false --accept-routes --advertise-routes=10.224.0.0/16,10.237.0.0/24 --advertise-tags=tag:stargate-router --snat-subnet-routes=false\n\n",
    )
    .await;
    let get = rig.json("tailscale get --json").await;
    assert_eq!(get["advertise-routes"], "10.224.0.0/16,10.237.0.0/24");
    assert_eq!((&get["accept-routes"], &get["snat-subnet-routes"]), (&json!(true), &json!(false)));
    let prefs = rig.json("sudo tailscale debug prefs").await;
    assert_eq!(prefs["AdvertiseRoutes"], json!(["10.224.0.0/16", "10.237.0.0/24"]));
    assert_eq!((&prefs["NoSNAT"], &prefs["RouteAll"], &prefs["CorpDNS"]), (&json!(true), &json!(true), &json!(false)));
    assert_eq!(rig.json("tailscale status --json").await["Self"].get("PrimaryRoutes"), None, "not approved yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_routes_are_in_table_52_ahead_of_main() {
    let rig = Rig::joined().await;
    let key = rig.key();
    let (address, pods) = {
        let tailnet = &mut rig.shared.lock().tailnet;
        let node = tailnet.join(&key, "dc-router", &[]).expect("joined");
        let pods: ipnet::IpNet = "10.244.65.0/24".parse().expect("prefix");
        tailnet.set_advertised(&node, [pods].into());
        (tailnet.device(&node).expect("device").ipv4, (node, pods))
    };
    let before = rig.json("ip -json route get 10.244.65.2").await;
    assert_eq!((&before[0]["dev"], &before[0]["gateway"]), (&json!("eth0"), &json!("10.237.0.1")));
    rig.shared.lock().tailnet.device_mut(&pods.0).expect("device").enabled.insert(pods.1);
    let own = rig.run_as("ubuntu", "tailscale ip -4").await.stdout;
    let expected = json!([{"dst": "10.244.65.2", "dev": "tailscale0", "table": "52", "prefsrc": own.trim(), "flags": [], "uid": 1000, "cache": []}]);
    assert_eq!(rig.json("ip -json route get 10.244.65.2").await, expected);
    let listed = rig.json("ip -json route show table 52").await;
    let routes = listed.as_array().expect("routes").iter();
    let mut table: Vec<String> = routes.map(|route| route["dst"].as_str().expect("dst").to_owned()).collect();
    table.sort();
    let mut expected = vec!["10.244.65.0/24".to_owned(), "100.100.100.100".to_owned(), address.to_string()];
    expected.sort();
    assert_eq!(table, expected);
    rig.check("sudo tailscale set --accept-routes=false", 0, "", "").await;
    assert_eq!(rig.json("ip -json route get 10.244.65.2").await[0]["dev"], "eth0");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_changes_are_counted() {
    let rig = Rig::joined().await;
    for line in [
        "ip route",
        "tailscale status --json",
        "sudo cat /etc/shadow",
        "systemctl is-active ssh",
        "sudo cloud-init status --wait",
    ] {
        rig.run_as("ubuntu", line).await;
    }
    assert_eq!(rig.written(), 0);
    rig.check("sudo sysctl -w net.ipv4.ip_forward=1", 0, "net.ipv4.ip_forward = 1\n", "").await;
    assert_eq!(rig.written(), 1, "the same value again is a write");
    rig.server.run(ROUTER, "sysctl -w net.ipv4.ip_forward=0").expect("machine");
    assert_eq!(rig.written(), 1, "somebody else's");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_create_the_same_directories_at_once_all_succeed() {
    let rig = Rig::booted("").await;
    for folder in 0..20 {
        let lines: Vec<_> = (0..8)
            .map(|file| {
                format!(
                    "sudo install -D -m 644 /dev/null /srv/a{folder}/b/c/d/{file} && sudo mkdir -p /srv/a{folder}/e/f"
                )
            })
            .collect();
        futures::future::join_all(lines.iter().map(|line| rig.check(line, 0, "", ""))).await;
    }
    rig.check(
        "touch /tmp/file; sudo install -D -m 644 /dev/null /tmp/file/below",
        1,
        "",
        "install: cannot create directory ‘/tmp/file’: File exists\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_in_is_in_force_after_a_reload_and_its_removal_too() {
    let rig = Rig::booted("").await;
    let status = rig.json("networkctl --json=short status eth0").await;
    assert_eq!(status["NetworkFile"], "/etc/systemd/network/10-eth0.network");
    let line = "sudo install -D -o root -g root -m 644 /dev/null /etc/systemd/network/10-eth0.network.d/60-s.conf && printf '[Route]\\nDestination=10.9.0.0/16\\nGateway=10.237.0.1\\n' | sudo dd of=/etc/systemd/network/10-eth0.network.d/60-s.conf conv=fsync status=none && sudo networkctl reload";
    rig.check(line, 0, "", "").await;
    rig.check(
        "ip route show 10.9.0.0/16; stat -c '%a %U %G' /etc/systemd/network/10-eth0.network.d/60-s.conf",
        0,
        "10.9.0.0/16 via 10.237.0.1 dev eth0 proto static \n644 root root\n",
        "",
    )
    .await;
    rig.check(
        "sudo rm /etc/systemd/network/10-eth0.network.d/60-s.conf; sudo networkctl reload; ip route show 10.9.0.0/16",
        0,
        "",
        "",
    )
    .await;
}
