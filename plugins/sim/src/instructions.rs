use crate::arm::CLIENT_ADDRESS;
use crate::login::{CLIENT_ID, CLIENT_SECRET};
use crate::server::Sim;
use crate::tailnet;

/// Returns instructions to use the world from a shell with `curl`, `az` and `ssh`, ready to be
/// printed and pasted.
pub fn instructions(sim: &Sim) -> String {
    let (http, https) = (sim.http_url(), sim.https_url());
    let (ca, dir) = (sim.ca_file().display().to_string(), sim.dir().display().to_string());
    let (subscription, tenant, token) = (sim.subscription(), sim.tenant(), sim.token());
    let ssh_config = sim.ssh_config().display().to_string();
    let api_key = tailnet::API_KEY;
    let control_token = sim.control_token();
    let exposure = exposure(sim);
    format!(
        "{exposure}# The simulated world answers at {http} and {https}.
# Everything in it is made up; the secrets below open nothing else.

# curl
export SIM_TOKEN={token}
curl -s -H \"Authorization: Bearer $SIM_TOKEN\" '{http}/subscriptions/{subscription}/resourcegroups?api-version=2024-07-01'

# az, with a configuration of its own so that yours stays as it is
export AZURE_CONFIG_DIR='{dir}/azure' REQUESTS_CA_BUNDLE='{ca}' AZURE_CORE_INSTANCE_DISCOVERY=false
az cloud register --name StargateSim --endpoint-resource-manager {https}
az cloud set --name StargateSim
az login --service-principal --username {CLIENT_ID} --password {CLIENT_SECRET} --tenant {tenant}
az network vnet list --output table

# the Tailscale API
curl -s -u '{api_key}:' '{http}/api/v2/tailnet/-/devices'

# ssh, to the machines that there are; Azure sees it come from {CLIENT_ADDRESS}, which security groups have to let in
ssh -F '{ssh_config}' ubuntu@203.0.113.10

# what happened, and what goes wrong next
export SIM_CONTROL_TOKEN={control_token}
curl -s -H \"Authorization: Bearer $SIM_CONTROL_TOKEN\" '{http}/_world/events'
curl -s -H \"Authorization: Bearer $SIM_CONTROL_TOKEN\" '{http}/_world/counters'
curl -s -X POST -H \"Authorization: Bearer $SIM_CONTROL_TOKEN\" -H 'Content-Type: application/json' -d '{{\"nth\":3,\"fault\":{{\"kind\":\"lost_reply\"}}}}' '{http}/_world/faults'
"
    )
}

/// Returns a line that names the addresses beyond loopback, if there are any.
fn exposure(sim: &Sim) -> String {
    let addresses: Vec<_> = sim.exposed().iter().map(ToString::to_string).collect();
    if addresses.is_empty() {
        return String::new();
    }
    format!(
        "# WARNING: {} can be reached from other machines, by everyone who can send to it.\n",
        addresses.join(" and ")
    )
}
