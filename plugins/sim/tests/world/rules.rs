use serde_json::{Value, json};

use crate::harness::{WorldBench, compute, empty, machine, network, nic, with_network};

#[track_caller]
fn subnet(prefix: &str) -> Value {
    json!({ "properties": { "addressPrefix": prefix } })
}

fn route(prefix: &str) -> Value {
    json!({ "properties": { "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.0.4" } })
}

async fn with_table(bench: &WorldBench) {
    bench.made(&network("routeTables/t"), json!({ "location": "canadacentral" })).await;
}

#[tokio::test]
async fn subnets_are_inside_their_network_and_apart() {
    let bench = empty().await;
    with_network(&bench).await;
    let put = |prefix: &'static str| {
        bench.put("/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/x", subnet(prefix))
    };
    put("10.2.0.0/24").await.refused(400, "NetcfgInvalidSubnet");
    put("10.1.0.128/25").await.refused(400, "NetcfgSubnetRangesOverlap");
    put("10.1.1.1/24").await.refused(400, "InvalidCIDRNotation");
    put("10.1.1.0/30").await.refused(400, "NetcfgInvalidSubnet");
    put("10.1.1.0/24").await.expect(201);
}

#[tokio::test]
async fn two_routes_with_one_prefix_conflict() {
    let bench = empty().await;
    with_table(&bench).await;
    bench.made(&network("routeTables/t/routes/a"), route("10.50.0.0/16")).await;
    bench.put(&network("routeTables/t/routes/b"), route("10.50.0.0/16")).await.refused(400, "RouteConflict");
    bench
        .put(&network("routeTables/t/routes/b"), json!({ "properties": { "addressPrefix": "10.51.0.0/16" } }))
        .await
        .refused(400, "InvalidParameter");
    bench
        .put(
            &network("routeTables/t/routes/b"),
            json!({ "properties": { "addressPrefix": "10.51.0.0/16", "nextHopType": "VirtualAppliance" } }),
        )
        .await
        .expect(400);
    bench.put(&network("routeTables/t/routes/a"), route("10.50.0.0/16")).await.expect(200);
}

#[tokio::test]
async fn references_must_exist_and_be_settled() {
    let bench = empty().await;
    with_network(&bench).await;
    let dangling = json!({ "properties": { "addressPrefix": "10.1.0.0/24", "routeTable": { "id": bench.network_id("routeTables/none") } } });
    bench.put(&network("virtualNetworks/v/subnets/s"), dangling).await.refused(400, "InvalidResourceReference");
    bench.put(&compute("virtualMachines/m"), machine(&bench)).await.refused(400, "InvalidResourceReference");
    let slow = json!({ "fault": { "kind": "operation_slow", "factor": 1000.0 } });
    bench.tell("/faults", slow).await.expect(200);
    bench.put(&network("virtualNetworks/v/subnets/t"), subnet("10.1.1.0/24")).await.expect(201);
    let mut body = nic(&bench);
    body["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"] =
        json!(bench.network_id("virtualNetworks/v/subnets/t"));
    let refused = bench.put(&network("networkInterfaces/n"), body).await.refused(429, "RetryableError");
    assert_eq!(refused.body["error"]["details"][0]["code"], "ReferencedResourceNotProvisioned");
    let busy = bench.put(&network("virtualNetworks/v/subnets/u"), subnet("10.1.2.0/24")).await;
    busy.refused(429, "AnotherOperationInProgress");
}

#[tokio::test]
async fn static_addresses_are_checked() {
    let bench = empty().await;
    with_network(&bench).await;
    let with = |address: &str| {
        let mut body = nic(&bench);
        let inner = &mut body["properties"]["ipConfigurations"][0]["properties"];
        inner["privateIPAllocationMethod"] = json!("Static");
        inner["privateIPAddress"] = json!(address);
        body
    };
    let path = network("networkInterfaces/n");
    bench.put(&path, with("10.2.0.4")).await.refused(400, "PrivateIPAddressNotInSubnet");
    bench.put(&path, with("10.1.0.3")).await.refused(400, "PrivateIPAddressInReservedRange");
    bench.put(&path, with("10.1.0.255")).await.refused(400, "PrivateIPAddressInReservedRange");
    bench.put(&path, with("10.1.0.10")).await.expect(201);
    bench.put(&network("networkInterfaces/o"), with("10.1.0.10")).await.refused(400, "PrivateIPAddressInUse");
}

#[tokio::test]
async fn a_location_is_required_known_and_kept() {
    let bench = empty().await;
    let path = network("routeTables/t");
    bench.put(&path, json!({})).await.refused(400, "LocationRequired");
    bench.put(&path, json!({ "location": "atlantis" })).await.refused(400, "LocationNotAvailableForResourceType");
    bench.made(&path, json!({ "location": "canadacentral" })).await;
    bench.put(&path, json!({ "location": "eastus" })).await.refused(409, "InvalidResourceLocation");
}

#[tokio::test]
async fn what_arm_refuses_before_any_provider() {
    let bench = empty().await;
    let raw = |path: String| {
        let request = bench.client.get(format!("{}{path}", bench.sim.http_url())).bearer_auth(bench.sim.token());
        async { crate::harness::got(request.send().await.unwrap()).await }
    };
    let subscription = bench.subscription();
    raw(format!("{subscription}/resourcegroups")).await.refused(400, "MissingApiVersionParameter");
    raw(format!("{subscription}{}?api-version=banana", network("routeTables")))
        .await
        .refused(400, "NoRegisteredProviderFound");
    raw(format!("{subscription}{}?api-version=2099-01-01", network("routeTables")))
        .await
        .refused(400, "NoRegisteredProviderFound");
    raw("/subscriptions/99999999-0000-0000-0000-000000000000?api-version=2022-12-01".to_owned())
        .await
        .refused(404, "SubscriptionNotFound");
    raw("/subscriptions/x?api-version=2022-12-01".to_owned()).await.refused(400, "InvalidSubscriptionId");
    raw("/nothing?api-version=2022-12-01".to_owned()).await.refused(404, "MissingSubscription");
    bench.get(&network("loadBalancers")).await.refused(404, "InvalidResourceType");
    bench.post(&network("routeTables/t"), json!({})).await.refused(405, "MethodNotAllowed");
    bench
        .put(&network("routeTables/-bad-"), json!({ "location": "canadacentral" }))
        .await
        .refused(400, "InvalidResourceName");
    let unknown = json!({ "location": "canadacentral", "address_prefix": "10.0.0.0/8" });
    bench.put(&network("routeTables/t"), unknown).await.refused(400, "InvalidRequestContent");
}

#[tokio::test]
async fn limits_refuse() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    bench.tell("/quota", json!({ "cores": 1, "public_ips": 0 })).await.expect(204);
    bench.put(&compute("virtualMachines/m"), machine(&bench)).await.refused(409, "OperationNotAllowed");
    bench
        .put(&network("publicIPAddresses/p"), json!({ "location": "canadacentral" }))
        .await
        .refused(400, "PublicIPCountLimitReached");
    bench.tell("/quota", json!({ "unavailable_sizes": ["Standard_D2s_v5"] })).await.expect(204);
    bench.put(&compute("virtualMachines/m"), machine(&bench)).await.refused(409, "SkuNotAvailable");
    bench.tell("/quota", json!({})).await.expect(204);
    bench.put(&compute("virtualMachines/m"), machine(&bench)).await.expect(201);
}
