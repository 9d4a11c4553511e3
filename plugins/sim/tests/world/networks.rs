use serde_json::{Value, json};

use crate::harness::{NETWORK, NODES, empty, network, nic, open, with_network};

#[tokio::test]
async fn a_first_put_is_201_updating_and_the_next_without_change_is_200_succeeded() {
    let bench = empty().await;
    let path = network("routeTables/t");
    let body = json!({ "location": "canadacentral" });
    let first = bench.put(&path, body.clone()).await.expect(201);
    assert_eq!(first.state(), "Updating");
    assert!(first.header("location").is_none(), "a network PUT has no Location");
    assert_eq!(bench.finish(&first).await, "Succeeded");
    let read = bench.get(&path).await.expect(200);
    assert_eq!(read.state(), "Succeeded");
    assert_eq!(read.header("etag"), read.body["etag"].as_str());
    let again = bench.put(&path, body).await.expect(200);
    assert_eq!(again.state(), "Succeeded");
    assert!(again.header("azure-asyncoperation").is_some());
    assert_eq!(again.body["etag"], read.body["etag"], "nothing changed");
}

#[tokio::test]
async fn paths_compare_without_case_and_keep_the_first_writing() {
    let bench = empty().await;
    bench.made(&network("routeTables/MyTable"), json!({ "location": "Canada Central" })).await;
    let read = bench.get("/RESOURCEGROUPS/G/providers/microsoft.network/ROUTETABLES/mytable").await.expect(200);
    assert_eq!(read.body["name"], "MyTable");
    assert_eq!(read.body["id"], bench.network_id("routeTables/MyTable"));
    assert_eq!(read.body["location"], "canadacentral");
}

#[tokio::test]
async fn both_shapes_of_404() {
    let bench = empty().await;
    let missing = bench.get(&network("routeTables/none")).await.refused(404, "ResourceNotFound");
    assert_eq!(missing.header("x-ms-failure-cause"), Some("gateway"));
    assert_eq!(
        missing.body["error"]["message"],
        "The Resource 'Microsoft.Network/routeTables/none' under resource group 'g' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    );
    with_network(&bench).await;
    let child = bench.get(&network("virtualNetworks/v/subnets/none")).await.refused(404, "NotFound");
    assert_eq!(child.header("x-ms-failure-cause"), None);
    assert_eq!(child.body["error"]["details"], json!([]));
    assert_eq!(
        child.body["error"]["message"],
        format!("Resource {} not found.", bench.network_id("virtualNetworks/v/subnets/none"))
    );
    bench
        .get("/resourceGroups/none/providers/Microsoft.Network/routeTables")
        .await
        .refused(404, "ResourceGroupNotFound");
}

#[tokio::test]
async fn embedded_children_are_resources_and_the_reverse() {
    let bench = empty().await;
    with_network(&bench).await;
    let subnet = bench.get(&network("virtualNetworks/v/subnets/s")).await.expect(200);
    assert_eq!(subnet.body["properties"]["addressPrefix"], "10.1.0.0/24");
    let before = bench.get(&network("virtualNetworks/v")).await.body;
    bench
        .made(&network("virtualNetworks/v/subnets/t"), json!({ "properties": { "addressPrefix": "10.1.1.0/24" } }))
        .await;
    let after = bench.get(&network("virtualNetworks/v")).await.body;
    let names: Vec<&Value> =
        after["properties"]["subnets"].as_array().unwrap().iter().map(|subnet| &subnet["name"]).collect();
    assert_eq!(names, ["s", "t"]);
    assert_ne!(before["etag"], after["etag"], "the parent's etag changes with a child");
    let listed = bench.get(&network("virtualNetworks/v/subnets")).await.body;
    assert_eq!(listed["value"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_put_replaces_the_whole_subnet_and_table() {
    let bench = empty().await;
    with_network(&bench).await;
    let table = bench.network_id("routeTables/t");
    let routes = json!([{ "name": "a", "properties": { "addressPrefix": "10.9.0.0/16", "nextHopType": "None" } }]);
    bench
        .made(&network("routeTables/t"), json!({ "location": "canadacentral", "properties": { "routes": routes } }))
        .await;
    let subnet = network("virtualNetworks/v/subnets/s");
    bench
        .made(&subnet, json!({ "properties": { "addressPrefix": "10.1.0.0/24", "routeTable": { "id": table } } }))
        .await;
    let shown = bench.get(&network("routeTables/t")).await.body;
    assert_eq!(shown["properties"]["subnets"], json!([{ "id": bench.network_id("virtualNetworks/v/subnets/s") }]));
    bench.delete(&network("routeTables/t")).await.refused(400, "InUseRouteTableCannotBeDeleted");
    let subnet = bench.made(&subnet, json!({ "properties": { "addressPrefix": "10.1.0.0/24" } })).await;
    assert_eq!(subnet["properties"].get("routeTable"), None, "the association is dropped");
    let emptied = bench.made(&network("routeTables/t"), json!({ "location": "canadacentral" })).await;
    assert_eq!(emptied["properties"]["routes"], json!([]));
    bench.get(&network("routeTables/t/routes/a")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_nic_is_synchronous_and_gets_the_fourth_address() {
    let bench = empty().await;
    with_network(&bench).await;
    let put = bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    assert_eq!(put.state(), "Succeeded");
    assert!(put.header("azure-asyncoperation").is_none());
    let configuration = &put.body["properties"]["ipConfigurations"][0]["properties"];
    assert_eq!(configuration["privateIPAddress"], "10.1.0.4");
    assert_eq!(put.body["properties"]["enableIPForwarding"], false);
    let other = bench.put(&network("networkInterfaces/o"), nic(&bench)).await.expect(201);
    assert_eq!(other.body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"], "10.1.0.5");
    let vnet = bench.get(&network("virtualNetworks/v")).await.body;
    let users = vnet["properties"]["subnets"][0]["properties"]["ipConfigurations"].as_array().unwrap().len();
    assert_eq!(users, 2);
    bench.delete(&network("virtualNetworks/v/subnets/s")).await.refused(400, "InUseSubnetCannotBeDeleted");
    bench.delete(&network("virtualNetworks/v")).await.refused(400, "InUseSubnetCannotBeDeleted");
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_unchanged() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    for path in ["virtualNetworks/v", "virtualNetworks/v/subnets/s", "networkInterfaces/n"] {
        let read = bench.get(&network(path)).await.expect(200).body;
        let put = bench.put(&network(path), read.clone()).await.expect(200);
        assert_eq!(put.body, read, "{path}");
    }
}

#[tokio::test]
async fn a_stale_etag_is_412_in_header_and_body() {
    let bench = empty().await;
    let path = network("routeTables/t");
    let made = bench.made(&path, json!({ "location": "canadacentral" })).await;
    let body = json!({ "location": "canadacentral", "etag": "invalid" });
    let refused = bench.put(&path, body).await.refused(412, "PreconditionFailed");
    let message = refused.body["error"]["details"][0]["message"].as_str().unwrap();
    assert_eq!(refused.body["error"]["details"][0]["code"], "PreconditionFailedEtagMismatch");
    let etag = made["etag"].as_str().unwrap();
    let id = bench.network_id("routeTables/t");
    assert_eq!(
        message,
        format!(
            "Etag provided in if-match header W/\"invalid\" does not match etag {etag} of resource {id} in NRP data store."
        )
    );
    let put = |name: &'static str, value: String, body: Value| {
        let request = bench.request(reqwest::Method::PUT, &path).header(name, value).json(&body);
        async { crate::harness::got(request.send().await.unwrap()).await }
    };
    let tagged = json!({ "location": "canadacentral", "tags": { "a": "b" } });
    put("If-Match", "garbage".to_owned(), tagged.clone()).await.refused(412, "PreconditionFailed");
    put("If-None-Match", "*".to_owned(), tagged.clone()).await.refused(412, "PreconditionFailed");
    put("If-Match", etag.to_owned(), tagged.clone()).await.expect(200);
}

#[tokio::test]
async fn a_public_address_is_basic_and_dynamic_unless_said() {
    let bench = empty().await;
    let basic = bench.made(&network("publicIPAddresses/b"), json!({ "location": "canadacentral" })).await;
    assert_eq!(basic["sku"]["name"], "Basic");
    assert_eq!(basic["properties"]["publicIPAllocationMethod"], "Dynamic");
    assert_eq!(basic["properties"].get("ipAddress"), None);
    let body = json!({ "location": "canadacentral", "sku": { "name": "Standard" }, "properties": { "publicIPAllocationMethod": "Static" } });
    let standard = bench.made(&network("publicIPAddresses/s"), body).await;
    let address = standard["properties"]["ipAddress"].as_str().unwrap().to_owned();
    assert!(address.starts_with("203.0.113."), "{address}");
    with_network(&bench).await;
    let mut body = nic(&bench);
    body["properties"]["ipConfigurations"][0]["properties"]["publicIPAddress"] =
        json!({ "id": bench.network_id("publicIPAddresses/s") });
    bench.put(&network("networkInterfaces/n"), body).await.expect(201);
    let shown = bench.get(&network("publicIPAddresses/s")).await.body;
    assert_eq!(
        shown["properties"]["ipConfiguration"]["id"],
        bench.network_id("networkInterfaces/n/ipConfigurations/c")
    );
    bench.delete(&network("publicIPAddresses/s")).await.refused(400, "PublicIPAddressCannotBeDeleted");
}

#[tokio::test]
async fn a_new_security_group_has_six_default_rules() {
    let bench = empty().await;
    let group = bench.made(&network("networkSecurityGroups/n"), json!({ "location": "canadacentral" })).await;
    assert_eq!(group["properties"]["defaultSecurityRules"].as_array().unwrap().len(), 6);
    let rule = json!({ "properties": { "protocol": "tcp", "access": "Allow", "direction": "Inbound", "priority": 100, "sourcePortRange": "*", "destinationPortRange": "22", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*" } });
    let made = bench.made(&network("networkSecurityGroups/n/securityRules/ssh"), rule.clone()).await;
    assert_eq!(made["properties"]["protocol"], "Tcp");
    bench.put(&network("networkSecurityGroups/n/securityRules/other"), rule).await.refused(400, "SecurityRuleConflict");
}

#[tokio::test]
async fn the_log_has_its_cluster_and_nodes() {
    let bench = open().await;
    let cluster = bench.get("/resourceGroups/stargate-aks-e2e-7/providers/Microsoft.ContainerService/managedClusters/stargate-aks-e2e-7").await.expect(200).body;
    assert_eq!(cluster["properties"]["nodeResourceGroup"], NODES);
    assert_eq!(cluster["properties"]["networkProfile"]["podCidr"], "10.244.0.0/16");
    assert_eq!(cluster["type"], "Microsoft.ContainerService/ManagedClusters");
    let nodes = format!("/resourceGroups/{NODES}/providers");
    let vnet = bench.get(&format!("{nodes}/Microsoft.Network/virtualNetworks/{NETWORK}")).await.expect(200).body;
    assert_eq!(vnet["properties"]["addressSpace"]["addressPrefixes"], json!(["10.224.0.0/12"]));
    let set = format!("{nodes}/microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-41954725-vmss");
    let nics = bench.get(&format!("{set}/networkInterfaces?api-version=2018-10-01")).await.expect(200).body;
    let addresses: Vec<&Value> = nics["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|nic| &nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"])
        .collect();
    assert_eq!(addresses, ["10.224.0.4", "10.224.0.5"]);
    let machines = bench.get(&format!("{set}/virtualMachines")).await.expect(200).body;
    assert_eq!(machines["value"][1]["properties"]["osProfile"]["computerName"], "aks-nodepool1-41954725-vmss000001");
    assert_eq!(machines["value"][1]["name"], "aks-nodepool1-41954725-vmss_1");
    bench.get(&format!("{set}/virtualMachines/x")).await.refused(400, "InvalidParameter");
    let credentials = bench.post("/resourceGroups/stargate-aks-e2e-7/providers/Microsoft.ContainerService/managedClusters/stargate-aks-e2e-7/listClusterUserCredential", json!({})).await.expect(200);
    assert_eq!(credentials.body["kubeconfigs"][0]["name"], "clusterUser");
}
