use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_kubernetes_client::json::text;

/// Settings of the agents that decide about packets between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AgentSettings {
    /// Protocol in which packets to other nodes are encapsulated; `null` with native routing.
    pub(crate) encapsulation: Option<String>,
    /// Replacement of the source addresses of packets that leave a node.
    pub(crate) masquerade: Masquerade,
    /// Destinations to which source addresses are kept.
    pub(crate) native_routing_cidr: Option<Prefix>,
}

/// Replacement of source addresses of pods by the address of their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Masquerade {
    /// Source addresses are kept.
    Off,
    /// Source addresses of pods are replaced.
    On,
    /// The settings do not show whether source addresses of pods are replaced.
    Unknown,
}

impl AgentSettings {
    /// Reads the settings in the `ConfigMap` `cilium-config`. Settings that it does not have are
    /// the agent's defaults (cmdref/cilium-agent of Cilium 1.15 to 1.18).
    pub(crate) fn of(config_map: &Value) -> Self {
        let setting = |name: &str| text(config_map, &format!("/data/{name}")).filter(|value| !value.is_empty());
        let is_on = |name: &str, default: bool| setting(name).map_or(default, |value| value == "true");
        let native = setting("ipv4-native-routing-cidr").and_then(|value| value.parse().ok());
        // The source range of iptables rules is the node's pod CIDR, which the agent does not know
        // with a delegated plugin; `ip-masq-agent` has its own list of destinations.
        let hides_sources = setting("ipam") == Some("delegated-plugin");
        let covers_all_sources =
            is_on("enable-bpf-masquerade", false) || setting("egress-masquerade-interfaces").is_some();
        let masquerade = if !is_on("enable-ipv4", true) || !is_on("enable-ipv4-masquerade", true) {
            Masquerade::Off
        } else if is_on("enable-ip-masq-agent", false) || hides_sources && !covers_all_sources {
            Masquerade::Unknown
        } else {
            Masquerade::On
        };
        Self { encapsulation: encapsulation(&setting), masquerade, native_routing_cidr: native }
    }
}

/// Protocol of the encapsulation. Before Cilium 1.15 `tunnel` named it or `disabled`.
fn encapsulation<'a>(setting: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let protocol = || setting("tunnel-protocol").unwrap_or("vxlan").to_owned();
    match (setting("routing-mode"), setting("tunnel")) {
        (Some("native"), _) | (None, Some("disabled")) => None,
        (None, Some(protocol)) => Some(protocol.to_owned()),
        (Some(_), _) | (None, None) => Some(protocol()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(data: &Value) -> AgentSettings {
        AgentSettings::of(&json!({ "data": data }))
    }

    #[test]
    fn the_settings_of_aks_keep_sources_and_encapsulate_nothing() {
        let settings =
            of(&json!({ "routing-mode": "native", "enable-ipv4-masquerade": "false", "ipam": "delegated-plugin" }));
        let kept = AgentSettings { encapsulation: None, masquerade: Masquerade::Off, native_routing_cidr: None };
        assert_eq!(settings, kept);
    }

    #[test]
    fn absent_settings_are_the_agents_defaults() {
        let settings = of(&json!({}));
        assert_eq!(settings.encapsulation.as_deref(), Some("vxlan"));
        assert_eq!(settings.masquerade, Masquerade::On);
        assert_eq!(AgentSettings::of(&json!({})), settings, "a ConfigMap without data");
    }

    #[test]
    fn encapsulation_has_an_old_name_and_a_new_one() {
        for (data, protocol) in [
            (json!({ "tunnel": "disabled" }), None),
            (json!({ "tunnel": "geneve" }), Some("geneve")),
            (json!({ "routing-mode": "tunnel", "tunnel-protocol": "geneve" }), Some("geneve")),
            (json!({ "routing-mode": "tunnel" }), Some("vxlan")),
            (json!({ "routing-mode": "native", "tunnel-protocol": "vxlan" }), None),
        ] {
            assert_eq!(of(&data).encapsulation.as_deref(), protocol, "{data}");
        }
    }

    #[test]
    fn masquerading_is_known_where_the_settings_show_the_sources() {
        let delegated = json!({ "ipam": "delegated-plugin", "routing-mode": "native" });
        for (more, masquerade) in [
            (json!({}), Masquerade::Unknown),
            (json!({ "enable-bpf-masquerade": "true" }), Masquerade::On),
            (json!({ "egress-masquerade-interfaces": "eth0" }), Masquerade::On),
            (json!({ "ipam": "cluster-pool" }), Masquerade::On),
            (json!({ "enable-bpf-masquerade": "true", "enable-ip-masq-agent": "true" }), Masquerade::Unknown),
            (json!({ "enable-ipv4": "false" }), Masquerade::Off),
            (json!({ "enable-ipv4-masquerade": "false", "enable-bpf-masquerade": "true" }), Masquerade::Off),
        ] {
            let mut data = delegated.clone();
            data.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            assert_eq!(of(&data).masquerade, masquerade, "{more}");
        }
    }

    #[test]
    fn the_native_prefix_is_read() {
        let settings = of(&json!({ "ipv4-native-routing-cidr": "10.244.0.0/16" }));
        assert_eq!(settings.native_routing_cidr.map(|prefix| prefix.to_string()).as_deref(), Some("10.244.0.0/16"));
        assert_eq!(of(&json!({ "ipv4-native-routing-cidr": "" })).native_routing_cidr, None);
    }
}
