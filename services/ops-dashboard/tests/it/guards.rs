//! Who is let in, and what a browser is told it may do.

use std::net::SocketAddr;

use ops_dashboard::{Dashboard, DashboardConfig, Error};

use crate::scripted::{self, Script, World, config};
use crate::site::{Site, location};

const TOKEN: &str = "correct-horse-battery";

#[tokio::test]
async fn every_answer_carries_the_policy() {
    let mut world = World::new();
    let site = Site::new(world.of(&Script::new(scripted::flowing())).await);
    for path in ["/", "/nowhere", "/healthz", "/metrics", "/history"] {
        let response = site.get(path).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn another_site_s_form_and_name_are_refused() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Flowing").await;
    let form = [("target", "duckdb"), ("back", "/")];
    for site_header in ["cross-site", "same-site", "none"] {
        let response = site.post_from(site_header, "/command/pause", &form).send().await.unwrap();
        assert_eq!(response.status(), 403, "{site_header}");
    }
    assert_eq!(script.called(), [""; 0]);
    for (host, expected) in
        [("evil.example", 421), ("localhost", 200), ("127.0.0.1.evil.example:80", 421)]
    {
        let response = site.get("/").header("host", host).send().await.unwrap();
        assert_eq!(response.status(), expected, "{host}");
    }
    let probe = site.get("/healthz").header("host", "10.0.0.7").send().await.unwrap();
    assert_eq!(probe.status(), 200);
}

#[tokio::test]
async fn with_a_token_nothing_is_shown_before_it_is_given() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let endpoint = world.endpoint(&script).await;
    let mut config = config(&[endpoint]);
    config.token = Some(TOKEN.to_owned());
    let site = Site::new(world.dashboard(config).await);
    let turned_away = site.get("/source?q=a").send().await.unwrap();
    assert_eq!(turned_away.status(), 303);
    assert_eq!(location(&turned_away), "/login?back=%2Fsource%3Fq%3Da");
    for path in ["/metrics", "/live/overview", "/history"] {
        assert_eq!(site.get(path).send().await.unwrap().status(), 401, "{path}");
    }
    let pause = [("target", "duckdb"), ("back", "/")];
    assert_eq!(site.post("/command/pause", &pause).send().await.unwrap().status(), 401);

    let wrong = [("token", "correct-horse-batterz"), ("back", "/")];
    assert_eq!(site.post("/login", &wrong).send().await.unwrap().status(), 403);
    let right = [("token", TOKEN), ("back", "/source?q=a")];
    let signed_in = site.post("/login", &right).send().await.unwrap();
    assert_eq!(location(&signed_in), "/source?q=a");
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(TOKEN));
    let cookie = cookie.split(';').next().unwrap();
    let page = site.get("/").header("cookie", cookie).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("Sign out"));
    let metrics = site.get("/metrics").header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(metrics.send().await.unwrap().status(), 200);
    let forged = site.get("/").header("cookie", cookie.replace("session=1", "session=9"));
    assert_eq!(forged.send().await.unwrap().status(), 303);
}

#[tokio::test]
async fn others_are_let_in_with_a_token_only() {
    let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let config = DashboardConfig { listen: open, ..DashboardConfig::default() };
    let refused = Dashboard::new(config.clone()).unwrap_err();
    assert!(matches!(refused, Error::Open { .. }), "{refused}");
    assert!(refused.remedy().unwrap().contains("--token-file"));
    let short = DashboardConfig { token: Some("short".to_owned()), ..config.clone() };
    assert!(matches!(Dashboard::new(short).unwrap_err(), Error::ShortToken));
    let guarded = DashboardConfig { token: Some(TOKEN.to_owned()), ..config };
    drop(Dashboard::new(guarded).unwrap());

    let listener = tokio::net::TcpListener::bind(open).await.unwrap();
    let dashboard = Dashboard::new(DashboardConfig::default()).unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let refused = dashboard.serve(listener, shutdown).await.unwrap_err();
    assert!(matches!(refused, Error::Open { .. }), "{refused}");
}

#[tokio::test]
async fn a_choice_is_kept_in_cookies_and_shown() {
    let mut world = World::new();
    let site = Site::new(world.of(&Script::new(scripted::flowing())).await);
    let chosen = site.post("/preferences", &[("theme", "dark"), ("back", "/source")]);
    let chosen = chosen.send().await.unwrap();
    assert_eq!(location(&chosen), "/source");
    assert!(chosen.headers()["set-cookie"].to_str().unwrap().starts_with("theme=dark;"));
    let page = site.get("/").header("cookie", "theme=dark; zone=utc").send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("data-theme=\"dark\"") && page.contains("data-zone=\"utc\""));
    let page = site.get("/").header("cookie", "theme=\"><script>").send().await.unwrap();
    assert!(!page.text().await.unwrap().contains("data-theme"));
}
