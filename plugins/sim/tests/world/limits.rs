use serde_json::{Value, json};

use crate::harness::{empty, network};

fn route(number: usize) -> Value {
    let prefix = format!("10.{}.{}.0/24", 100 + number / 256, number % 256);
    json!({ "name": format!("r{number}"), "properties": { "addressPrefix": prefix, "nextHopType": "None" } })
}

fn table(routes: usize) -> Value {
    json!({ "location": "canadacentral", "properties": { "routes": (0..routes).map(route).collect::<Vec<_>>() } })
}

#[tokio::test]
async fn a_table_has_400_routes_at_most() {
    let bench = empty().await;
    bench.put(&network("routeTables/t"), table(401)).await.refused(400, "RouteCountLimitReached");
    bench.made(&network("routeTables/t"), table(400)).await;
    let one_more = bench.put(&network("routeTables/t/routes/r400"), route(400)).await;
    let message = one_more.refused(400, "RouteCountLimitReached").body["error"]["message"].to_string();
    assert!(message.contains("more than 400 routes") && message.contains("routeTables/t"), "{message}");
    bench.made(&network("routeTables/t/routes/r7"), route(7)).await;
}

#[tokio::test]
async fn the_limit_of_routes_can_be_raised_and_lowered() {
    let bench = empty().await;
    bench.tell("/quota", json!({ "routes_per_table": 600 })).await.expect(204);
    bench.made(&network("routeTables/t"), table(600)).await;
    bench.tell("/quota", json!({ "routes_per_table": 2 })).await.expect(204);
    bench.put(&network("routeTables/u"), table(3)).await.refused(400, "RouteCountLimitReached");
    bench.made(&network("routeTables/u"), table(2)).await;
    bench.tell("/quota", json!({})).await.expect(204);
    bench.put(&network("routeTables/u"), table(401)).await.refused(400, "RouteCountLimitReached");
}
