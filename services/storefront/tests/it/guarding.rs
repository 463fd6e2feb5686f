//! What other sites cannot do, and what no page may load.

use reqwest::Method;
use testkit::server::postgres::{Postgres, Version};

use crate::world::{World, config, told};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_policy_and_no_page_needs_more() {
    let world = World::alone().await;
    for path in
        ["/shop", "/cart", "/business", "/lab", "/products/1", "/orders/9", "/none", "/metrics"]
    {
        let response = world.request(Method::GET, path).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-security-policy"), POLICY, "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        let body = response.text().await.unwrap();
        for inline in [" style=\"", "<style", " onclick", "javascript:", "<script>"] {
            assert!(!body.contains(inline), "{path} has {inline}");
        }
    }
    let page = world.get("/shop").await.body;
    let script = page.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let response = world.request(Method::GET, script).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
    assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(response.text().await.unwrap().lines().count() < 150);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_cannot_change_anything() {
    let world = World::alone().await;
    for path in
        ["/cart", "/orders", "/lab/rate", "/lab/poison", "/lab/column", "/lab/pause", "/theme"]
    {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
        ] {
            let request = world.request(Method::POST, path).header(name, value);
            let refused = told(request.body("preset=10")).await;
            assert_eq!(refused.status, 403, "{path} {name}: {value}");
            assert!(refused.body.contains("Another site asked for this."));
        }
        let own = world.request(Method::POST, path).header("origin", &world.url).body("x=1");
        assert_ne!(told(own).await.status, 403, "{path}");
    }
    // A name that leads here is not this machine's.
    let request = world.request(Method::POST, "/lab/poison").header("host", "evil.example");
    assert_eq!(told(request.body("x=1")).await.status, 403);
    assert_eq!(world.count("products WHERE sku LIKE 'LAB-%'").await, 1);
    let large = world.post("/orders", &[("name", &"x".repeat(8 << 10))]).await;
    assert_eq!(large.status, 413);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_is_closed_to_the_network_unless_it_is_opened() {
    let postgres = Postgres::start(Version::V18).await;
    let mut closed = config(&postgres, &[]);
    closed.listen = "0.0.0.0:0".parse().unwrap();
    let opened = storefront::StorefrontConfig { has_lab: Some(true), ..closed.clone() };
    let world = World::with(postgres, closed).await;
    for path in ["/lab", "/lab/live"] {
        assert_eq!(world.get(path).await.status, 403);
    }
    assert_eq!(world.post("/lab/rate", &[("preset", "10")]).await.status, 403);
    let page = world.get("/shop").await;
    assert!(page.status == 200 && !page.body.contains("href=\"/lab\""));
    let second = storefront::Storefront::open(opened).await.unwrap();
    drop(second.router());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theme_is_kept_and_leads_nowhere_else() {
    let world = World::alone().await;
    let set = world.post("/theme", &[("theme", "dark"), ("back", "//evil.example")]).await;
    assert_eq!((set.status, set.location.as_str()), (303, "/shop"));
    let request =
        world.request(Method::GET, "/shop").header("cookie", "a=b; storefront_theme=dark");
    assert!(told(request).await.body.contains("<html lang=\"en\" data-theme=\"dark\">"));
    let set = world.post("/theme", &[("theme", "\"><script>"), ("back", "/lab")]).await;
    assert!(set.cookie.contains("Max-Age=0") && set.location == "/lab", "{set:?}");
    world.stop().await;
}
