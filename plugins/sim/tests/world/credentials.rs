use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use crate::harness::{empty, got, open};

async fn token(client: &Client, base: &str, secret: &str) -> crate::harness::Got {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "c"),
        ("client_secret", secret),
        ("scope", "https://management.azure.com/.default"),
    ];
    got(client
        .post(format!("{base}/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token"))
        .form(&form)
        .send()
        .await
        .unwrap())
    .await
}

#[tokio::test]
async fn arm_wants_a_token_that_this_world_issued_and_that_is_good() {
    let bench = empty().await;
    let url = format!("{}/subscriptions?api-version=2022-12-01", bench.sim.http_url());
    let missing = got(bench.client.get(&url).send().await.unwrap()).await.refused(401, "AuthenticationFailed");
    assert!(missing.header("www-authenticate").unwrap().starts_with("Bearer authorization_uri="));
    got(bench.client.get(&url).bearer_auth("a.b.c").send().await.unwrap())
        .await
        .refused(401, "InvalidAuthenticationToken");
    let refused = token(&bench.client, &bench.sim.http_url(), "wrong").await.expect(401);
    assert_eq!(refused.body["error"], "invalid_client");
    let issued = token(&bench.client, &bench.sim.http_url(), "stargate-sim-secret").await.expect(200).body;
    assert_eq!(issued["expires_in"], 3599);
    let bearer = issued["access_token"].as_str().unwrap();
    got(bench.client.get(&url).bearer_auth(bearer).send().await.unwrap()).await.expect(200);
    bench.tell("/tokens/expire", json!({})).await.expect(204);
    got(bench.client.get(&url).bearer_auth(bearer).send().await.unwrap())
        .await
        .refused(401, "ExpiredAuthenticationToken");
    got(bench.client.get(&url).bearer_auth(bench.sim.token()).send().await.unwrap()).await.expect(200);
}

#[tokio::test]
async fn https_serves_the_same_world_under_its_own_authority() {
    let bench = open().await;
    let pem = std::fs::read(bench.sim.ca_file()).unwrap();
    let client = Client::builder().tls_certs_only([Certificate::from_pem(&pem).unwrap()]).build().unwrap();
    let base = bench.sim.https_url();
    let cloud: Value = client
        .get(format!("{base}/metadata/endpoints?api-version=2022-09-01"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(cloud["authentication"]["loginEndpoint"], json!(base));
    let old: Value = client
        .get(format!("{base}/metadata/endpoints?api-version=2019-05-01"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(old.is_array());
    let openid: Value = client
        .get(format!("{base}/t/v2.0/.well-known/openid-configuration"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(openid["token_endpoint"], json!(format!("{base}/t/oauth2/v2.0/token")));
    let issued = token(&client, &base, "stargate-sim-secret").await.expect(200).body;
    let groups = client
        .get(format!("{base}{}/resourcegroups?api-version=2024-07-01", bench.subscription()))
        .bearer_auth(issued["access_token"].as_str().unwrap());
    assert_eq!(got(groups.send().await.unwrap()).await.expect(200).body["value"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_metadata_service_wants_its_header_and_writes_numbers_as_strings() {
    let bench = empty().await;
    let url = format!(
        "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/",
        bench.sim.http_url()
    );
    got(bench.client.get(&url).send().await.unwrap()).await.expect(400);
    let issued = got(bench.client.get(&url).header("Metadata", "true").send().await.unwrap()).await.expect(200).body;
    assert_eq!(issued["expires_in"], "86399");
    bench.get("/resourcegroups").await.expect(200);
}
