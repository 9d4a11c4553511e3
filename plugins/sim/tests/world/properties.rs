use proptest::collection::btree_map;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{empty, network};

/// Routes by the third byte of their prefix: a hop or none.
fn tables() -> impl Strategy<Value = Vec<Value>> {
    btree_map(0_u8..=255, any::<Option<u8>>(), 0..8).prop_map(|routes| {
        let route = |(number, hop): (u8, Option<u8>)| {
            let mut properties = json!({ "addressPrefix": format!("10.{number}.0.0/16"), "nextHopType": "None" });
            if let Some(hop) = hop {
                properties["nextHopType"] = json!("VirtualAppliance");
                properties["nextHopIpAddress"] = json!(format!("10.200.0.{hop}"));
            }
            json!({ "name": format!("r{number}"), "properties": properties })
        };
        routes.into_iter().map(route).collect()
    })
}

fn shown(body: &Value) -> Vec<Value> {
    let routes = body["properties"]["routes"].as_array().unwrap();
    let plain = |route: &Value| {
        let mut properties = route["properties"].clone();
        properties.as_object_mut().unwrap().remove("provisioningState");
        json!({ "name": route["name"], "properties": properties })
    };
    routes.iter().map(plain).collect()
}

fn sorted(mut routes: Vec<Value>) -> Vec<String> {
    routes.sort_by_key(|route| route["name"].to_string());
    routes
        .into_iter()
        .map(|mut route| {
            route["properties"].as_object_mut().unwrap().sort_keys();
            route.to_string()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// A GET returns the resource as it was put, and the etag changes exactly when the resource
    /// does.
    #[test]
    fn put_then_get(tables in proptest::collection::vec((tables(), any::<bool>()), 1..4)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let bench = empty().await;
            let path = network("routeTables/t");
            let mut last: Option<(Vec<String>, Value, Value)> = None;
            for (routes, tagged) in tables {
                let tags = if tagged { json!({ "a": "b" }) } else { json!({}) };
                let body = json!({ "location": "canadacentral", "tags": tags, "properties": { "routes": routes } });
                let read = bench.made(&path, body).await;
                let routes = sorted(routes);
                prop_assert_eq!(sorted(shown(&read)), routes.clone());
                prop_assert_eq!(&read["tags"], &tags);
                if let Some((before, tags_before, etag)) = last {
                    let same = before == routes && tags_before == tags;
                    prop_assert_eq!(etag == read["etag"], same);
                }
                last = Some((routes, tags, read["etag"].clone()));
            }
            Ok(())
        })?;
    }
}
