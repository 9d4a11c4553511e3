use super::rig::{ROUTER, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_rules_is_in_force_until_the_reboot_and_a_unit_loads_it_again() {
    let rig = Rig::joined().await;
    let rules = "table inet a\ndelete table inet a\ntable inet a {\n\tchain c {\n\t\ttype filter hook forward priority mangle; \
                 policy accept;\n\t\tiifname \"tailscale0\" tcp flags syn tcp option maxseg size set rt mtu\n\t}\n}\n";
    let shown = &rules[rules.rfind("table inet a {").expect("there")..];
    rig.run_as("ubuntu", &format!("printf '%s' '{rules}' | sudo tee /etc/a.nft")).await;
    let gone = "Error: No such file or directory\nlist table inet a\n                ^\n";
    rig.check("sudo nft -j list table inet a", 1, "", gone).await;
    rig.check("nft list ruleset", 127, "", "bash: line 1: nft: command not found\n").await;
    rig.check("/usr/sbin/nft list ruleset", 1, "", "Operation not permitted (you must be root)\n").await;
    rig.check("sudo nft -f /etc/a.nft; sudo nft list table inet a", 0, shown, "").await;
    let listed = rig.json("sudo nft -j list table inet a").await;
    assert_eq!(listed["nftables"][2]["chain"]["hook"], "forward");
    assert_eq!(listed["nftables"][3]["rule"]["expr"][0]["match"]["right"], "tailscale0");
    let state = serde_json::to_value(&rig.shared.lock().hosts.machines[ROUTER]).expect("JSON");
    assert_eq!(state["ruleset"]["tables"]["inet a"]["c"]["rules"][0]["device"], "tailscale0");

    rig.run_as("ubuntu", "sudo reboot").await;
    rig.server.booted(ROUTER).await;
    rig.check("sudo nft list tables", 0, "table ip filter\n", "").await;
    let unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/nft -f /etc/a.nft\n[Install]\nWantedBy=multi-user.target\n";
    let line = format!(
        "printf '%s' '{unit}' | sudo tee /etc/systemd/system/a.service >/dev/null; sudo systemctl enable a 2>/dev/null; sudo reboot"
    );
    rig.run_as("ubuntu", &line).await;
    rig.server.booted(ROUTER).await;
    rig.check(
        "sudo nft list tables; sudo nft list table inet a",
        0,
        &format!("table inet a\ntable ip filter\n{shown}"),
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packet_filter_is_listed_as_a_host_with_tailscaled_lists_it() {
    let rig = Rig::joined().await;
    let address = rig.run_as("ubuntu", "tailscale ip -4").await.stdout;
    let text = format!(
        "# Warning: table ip filter is managed by iptables-nft, do not touch!\ntable ip filter {{\n\tchain FORWARD {{\n\t\ttype \
         filter hook forward priority filter; policy drop;\n\t\tcounter packets 0 bytes 0 jump ts-forward\n\t}}\n\n\tchain \
         INPUT {{\n\t\ttype filter hook input priority filter; policy accept;\n\t\tcounter packets 0 bytes 0 jump \
         ts-input\n\t}}\n\n\tchain ts-forward {{\n\t\tiifname \"tailscale0\" counter packets 0 bytes 0 meta mark set mark and \
         0xff00ffff xor 0x40000\n\t\tmeta mark & 0x00ff0000 == 0x00040000 counter packets 0 bytes 0 accept\n\t\toifname \
         \"tailscale0\" ip saddr 100.64.0.0/10 counter packets 0 bytes 0 drop\n\t\toifname \"tailscale0\" counter packets 0 \
         bytes 0 accept\n\t}}\n\n\tchain ts-input {{\n\t\tiifname \"lo\" ip saddr {} counter packets 0 bytes 0 \
         accept\n\t\tiifname != \"tailscale0\" ip saddr 100.115.92.0/23 counter packets 0 bytes 0 return\n\t\tiifname != \
         \"tailscale0\" ip saddr 100.64.0.0/10 counter packets 0 bytes 0 drop\n\t\tiifname \"tailscale0\" counter packets 0 \
         bytes 0 accept\n\t\tudp dport 41641 counter packets 0 bytes 0 accept\n\t}}\n}}\n",
        address.trim()
    );
    rig.check("sudo iptables -w -P FORWARD DROP; sudo nft list ruleset", 0, &text, "").await;
    rig.check("sudo iptables -S FORWARD", 0, "-P FORWARD DROP\n-A FORWARD -j ts-forward\n", "").await;
    let listed = rig.json("sudo nft -j list ruleset").await;
    let chain = serde_json::json!({"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter",
        "hook": "forward", "prio": 0, "policy": "drop"});
    assert_eq!(listed["nftables"][2]["chain"], chain);
    let expr = serde_json::json!([{"counter": {"packets": 0, "bytes": 0}}, {"jump": {"target": "ts-forward"}}]);
    assert_eq!(listed["nftables"][6]["rule"]["expr"], expr);
    let mark = serde_json::json!({"xt": {"type": "target", "name": "MARK"}});
    assert_eq!(listed["nftables"][8]["rule"]["expr"][2], mark);

    let forward = "sudo iptables -S FORWARD; sudo nft list chains | grep -c ts-";
    rig.check(&format!("sudo tailscale set --netfilter-mode=nodivert; {forward}"), 0, "-P FORWARD DROP\n2\n", "").await;
    rig.check(&format!("sudo tailscale set --netfilter-mode=off; {forward}"), 1, "-P FORWARD DROP\n0\n", "").await;
    rig.check("sudo tailscale set --netfilter-mode=on; sudo nft flush ruleset; sudo nft list ruleset", 0, "", "").await;
    rig.check(
        "sudo systemctl restart tailscaled; sudo iptables -S FORWARD",
        0,
        "-P FORWARD ACCEPT\n-A FORWARD -j ts-forward\n",
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packet_filter_of_debian_is_loaded_by_its_unit() {
    let rig = Rig::booted("").await;
    let policy = |word: &str| {
        format!(
            "table inet filter {{\n\tchain forward {{\n\t\ttype filter hook forward priority filter; policy {word};\n\t}}\n}}\n"
        )
    };
    rig.check(
        "sudo nft list ruleset; sudo systemctl start nftables; sudo nft list chain inet filter forward",
        0,
        &policy("accept"),
        "",
    )
    .await;
    rig.check(
        "sudo nft 'chain inet filter forward { policy drop; }'; sudo nft list chain inet filter forward",
        0,
        &policy("drop"),
        "",
    )
    .await;
    let script = "sudo nft add rule inet filter forward iifname != eth0 ip saddr 10.0.0.0/8 ct state established,related counter \
                  accept; sudo nft flush chain inet filter input; sudo nft delete chain inet filter output";
    let shown = policy("drop").replace(
        "drop;\n",
        "drop;\n\t\tiifname != \"eth0\" ip saddr 10.0.0.0/8 ct state established,related counter packets 0 bytes 0 accept\n",
    );
    rig.check(&format!("{script}; sudo nft list chain inet filter forward"), 0, &shown, "").await;
    let again = "sudo nft add chain inet filter late '{ type filter hook forward priority filter + 10; policy drop; }'; \
                 before=$(sudo nft list ruleset); echo \"$before\" | (sudo nft flush ruleset; sudo nft -f -); \
                 [ \"$before\" = \"$(sudo nft list ruleset)\" ]";
    rig.check(again, 0, "", "").await;
    let gone = "Error: No such file or directory\nlist chain inet filter nothing\n                       ^^^^^^^\n";
    rig.check("sudo nft list chain inet filter nothing", 1, "", gone).await;
}
