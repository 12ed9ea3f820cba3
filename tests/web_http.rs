//! What every answer has in common: headers, errors, origins, static files, names.

#[path = "web/support.rs"]
mod support;

use std::io::Read;

use rocket::http::{Accept, ContentType, Header, Method, Status};
use support::{ORIGIN, Wiki, encode, send, with_cookie};

#[rocket::async_test]
async fn every_answer_carries_the_security_headers() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    let static_file = format!("{}/css/tokens.css", static_base(&wiki).await);
    for path in [
        "/",
        "/wiki/Home",
        "/nowhere",
        "/wiki/%2e%2e",
        "/api/v1/pages",
        "/api/v1/pages/none",
        "/raw/Home",
        "/healthz",
        &static_file,
    ] {
        let answer = wiki.get(path).await;
        let fixed = [
            "X-Content-Type-Options",
            "X-Frame-Options",
            "Referrer-Policy",
            "Cross-Origin-Opener-Policy",
            "Cross-Origin-Resource-Policy",
            "Permissions-Policy",
            "Server",
            "Strict-Transport-Security",
            "Access-Control-Allow-Origin",
        ]
        .map(|name| answer.header(name));
        assert_eq!(
            fixed,
            [
                Some("nosniff"),
                Some("DENY"),
                Some("same-origin"),
                Some("same-origin"),
                Some("same-origin"),
                Some("camera=(), microphone=(), geolocation=(), payment=()"),
                None,
                None,
                None,
            ],
            "{path}"
        );
        assert!(answer.header("X-Request-Id").is_some_and(|id| id.len() == 12), "{path}");
        assert!(answer.header("Cache-Control").is_some(), "{path}");
        let policy = answer.header("Content-Security-Policy").expect("policy");
        assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    assert_eq!(wiki.get("/").await.header("Cache-Control"), Some("no-store"));
}

#[rocket::async_test]
async fn the_policy_is_the_one_that_was_reviewed() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    let policy = wiki.get("/").await.header("Content-Security-Policy").map(ToOwned::to_owned);
    let expected = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
        font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; \
        base-uri 'none'; object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
        trusted-types halley 'allow-duplicates'";
    assert_eq!(policy.as_deref(), Some(expected));
    assert_eq!(
        wiki.get("/raw/Home").await.header("Content-Security-Policy"),
        Some("default-src 'none'; frame-ancestors 'none'; sandbox")
    );
}

#[rocket::async_test]
async fn only_the_edit_page_has_a_style_nonce_and_it_is_a_new_one_each_time() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    let nonce = |answer: &support::Answer| {
        let policy = answer.header("Content-Security-Policy").unwrap_or_default().to_owned();
        let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next());
        nonce.map(ToOwned::to_owned)
    };
    let (first, second) = (wiki.get("/edit/Home").await, wiki.get("/edit/Home").await);
    let value = nonce(&first).expect("a nonce");
    assert!(value.len() >= 24 && first.text().contains(&format!("content=\"{value}\"")));
    assert_ne!(nonce(&second).expect("a nonce"), value);
    assert_eq!(nonce(&wiki.get("/").await), None);
}

#[rocket::async_test]
async fn behind_tls_cookies_are_secure_and_browsers_are_told_to_stay_there() {
    let wiki = Wiki::with(|s| s.public_origin = Some("https://wiki.example.org".into())).await;
    let answer = wiki.get("/pages").await;
    assert_eq!(answer.header("Strict-Transport-Security"), Some("max-age=31536000"));
    let cookie = answer.header("Set-Cookie").expect("a cookie");
    for part in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=31536000"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
}

#[rocket::async_test]
async fn a_guest_is_known_again_and_only_pages_give_the_cookie() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    for path in ["/api/v1/pages", "/api/v1/pages/Home", "/raw/Home", "/healthz", "/nowhere.json"] {
        let request = wiki.ask(Method::Get, path).header(Accept::JSON);
        assert_eq!(send(request).await.header("Set-Cookie"), None, "{path}");
    }
    let first = wiki.get("/").await;
    let cookie = first.cookie().expect("a cookie");
    assert!(cookie.starts_with("halley_guest=g"));
    let again = send(with_cookie(wiki.ask(Method::Get, "/"), &cookie)).await;
    assert_eq!(again.header("Set-Cookie"), None, "known");
    let you = |text: &str| {
        text.split("data-you='").nth(1).and_then(|r| r.split('\'').next()).map(ToOwned::to_owned)
    };
    assert_eq!(you(first.text()), you(again.text()));
    // A changed cookie is a stranger's.
    let forged = cookie.replacen("halley_guest=g", "halley_guest=h", 1);
    let stranger = send(with_cookie(wiki.ask(Method::Get, "/"), &forged)).await;
    assert!(stranger.header("Set-Cookie").is_some());
}

#[rocket::async_test]
async fn another_site_cannot_make_a_visitor_somebody_else() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    // The cookie is SameSite=Lax, so what another site posts comes without it.
    for (path, body) in [("/new", "path=x"), ("/wiki/Home", "_method=get&x=1"), ("/none", "")] {
        for origin in ["https://evil.test", "null"] {
            let request =
                wiki.ask(Method::Post, path).header(ContentType::Form).header(Accept::HTML);
            let answer = send(request.header(Header::new("Origin", origin)).body(body)).await;
            assert_eq!(answer.header("Set-Cookie"), None, "{path} {origin}");
        }
    }
    let link = wiki.ask(Method::Get, "/").header(Header::new("Sec-Fetch-Site", "cross-site"));
    assert!(send(link).await.header("Set-Cookie").is_some(), "a link is followed as usual");
}

#[rocket::async_test]
async fn a_person_can_be_renamed_and_goes_back_to_where_they_were() {
    let wiki = Wiki::new().await;
    let cookie = wiki.get("/name").await.cookie().expect("a cookie");
    let rename = |fields: String, accept: Accept| {
        let request = wiki.ask(Method::Post, "/name").header(Header::new("Origin", ORIGIN));
        let request = with_cookie(request, &cookie).header(accept);
        send(request.header(ContentType::Form).body(fields))
    };
    let answer =
        rename(encode(&[("name", " Zoë <b> "), ("back", "/wiki/a%20b?x=1")]), Accept::HTML).await;
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/wiki/a%20b?x=1")));
    let renamed = answer.cookie().expect("a cookie");
    let id = |cookie: &str| cookie.split('.').next().map(ToOwned::to_owned);
    assert_eq!(id(&cookie), id(&renamed), "the same guest");
    let page = send(with_cookie(wiki.ask(Method::Get, "/pages"), &renamed)).await;
    assert!(
        page.text().contains("Zoë &lt;b&gt;") && !page.text().contains("<b>"),
        "{}",
        page.text()
    );

    let json = rename(encode(&[("name", "Ada")]), Accept::JSON).await;
    assert_eq!((json.status, json.json()["you"]["name"].as_str()), (200, Some("Ada")));
    let outside = rename(encode(&[("name", "Ada"), ("back", "//evil.test")]), Accept::HTML).await;
    assert_eq!(outside.header("Location"), Some("/"));
    let long = "x".repeat(41);
    for bad in ["", "  ", "a\u{202e}b", &long] {
        let form = rename(encode(&[("name", bad)]), Accept::HTML).await;
        assert_eq!((form.status, form.header("Set-Cookie")), (422, None), "{bad:?}");
        assert!(form.text().contains("role=\"alert\""), "{bad:?}");
        let json = rename(encode(&[("name", bad)]), Accept::JSON).await;
        assert_eq!((json.status, json.error_code().as_str()), (422, "bad_name"), "{bad:?}");
    }
}

/// An address that a route could match.
fn sample(route: &rocket::Route) -> String {
    let path = route.uri.as_str().split('?').next().unwrap_or_default().to_owned();
    let parts = path.split('/').map(|part| match part {
        part if part.ends_with("..>") => "Home",
        part if part.starts_with('<') => "1",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Routes whose POST only reads, as their GET does: another site learns and changes nothing.
const READS_BY_POST: [&str; 2] = ["/_live/events", "/_live/pages/<id>/doc"];

#[rocket::async_test]
async fn every_route_that_writes_refuses_other_sites() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    let writes = |route: &&rocket::Route| {
        route.method != Method::Get && !READS_BY_POST.contains(&route.uri.path())
    };
    let writing: Vec<_> = wiki.client.rocket().routes().filter(writes).cloned().collect();
    assert!(writing.len() >= 8);
    for route in writing {
        let path = sample(&route);
        let foreign: [&[(&str, &str)]; 5] = [
            &[("Sec-Fetch-Site", "cross-site")],
            &[("Sec-Fetch-Site", "same-site"), ("Origin", ORIGIN)],
            &[("Origin", "https://evil.test")],
            &[("Origin", "null")],
            &[("Cookie", "halley_guest=x")],
        ];
        for headers in foreign {
            for form in [ContentType::Form, ContentType::JSON, ContentType::Plain] {
                let mut request = wiki.ask(route.method, &path).header(form).header(Accept::JSON);
                for (name, value) in headers {
                    request.add_header(Header::new(*name, *value));
                }
                let answer = send(request.body("text=x&base=1&path=y&name=z")).await;
                assert_eq!(answer.status, 403, "{} {path} {headers:?}", route.method);
                assert_eq!(answer.error_code(), "foreign_origin");
            }
        }
    }
    assert_eq!(wiki.get("/raw/Home").await.text(), "# Hello");
    assert_eq!(wiki.live.pages().list().len(), 1);
}

#[rocket::async_test]
async fn a_form_that_pretends_to_be_another_method_is_judged_like_it() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    for (method, expected) in [("DELETE", 403), ("PUT", 403), ("get", 200)] {
        let request = wiki.ask(Method::Post, "/api/v1/pages/Home").header(ContentType::Form);
        let request = request.header(Header::new("Origin", "https://evil.test"));
        let answer = send(request.body(format!("_method={method}&text=x"))).await;
        assert_eq!(answer.status, expected, "{method}");
    }
    assert_eq!(wiki.get("/raw/Home").await.text(), "# Hello");
}

#[rocket::async_test]
async fn our_own_pages_and_bare_programs_may_write() {
    let wiki = Wiki::new().await;
    let good: [&[(&str, &str)]; 5] = [
        &[("Sec-Fetch-Site", "same-origin"), ("Cookie", "a=b")],
        &[("Sec-Fetch-Site", "none"), ("Cookie", "a=b")],
        &[("Origin", ORIGIN), ("Cookie", "a=b")],
        &[("Origin", "https://wiki.test:8000")],
        &[],
    ];
    for (i, headers) in good.into_iter().enumerate() {
        let answer = wiki.put(&format!("p{i}"), headers, b"x").await;
        assert_eq!(answer.status, 201, "{headers:?}");
    }
}

#[rocket::async_test]
async fn each_route_answers_methods_it_does_not_have_with_405_and_those_it_has() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hello").await;
    for (path, allow) in [
        ("/", "GET, HEAD"),
        ("/wiki/Home", "GET, HEAD"),
        ("/edit/Home", "GET, HEAD, POST"),
        ("/new", "GET, HEAD, POST"),
        ("/name", "GET, HEAD, POST"),
        ("/connection", "GET, HEAD"),
        ("/_live/probe", "GET, HEAD, POST"),
        ("/raw/Home", "GET, HEAD"),
        ("/delete/Home", "GET, HEAD, POST"),
        ("/restore/Home", "POST"),
        ("/pages", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/api/v1/pages/Home", "DELETE, GET, HEAD, POST, PUT"),
    ] {
        let answer = send(wiki.ask(Method::Patch, path)).await;
        assert_eq!((answer.status, answer.header("Allow")), (405, Some(allow)), "{path}");
    }
    assert_eq!(send(wiki.ask(Method::Patch, "/none")).await.status, 404);
    let head = send(wiki.ask(Method::Head, "/wiki/Home")).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
}

#[rocket::async_test]
async fn an_error_is_json_for_programs_and_a_page_for_people() {
    let wiki = Wiki::new().await;
    let check = async |path: &str, accept: Option<Accept>, kind: &str| {
        let mut request = wiki.ask(Method::Get, path);
        if let Some(accept) = accept {
            request = request.header(accept);
        }
        let answer = send(request).await;
        let found = answer.header("Content-Type").unwrap_or_default();
        assert!(found.starts_with(kind), "{path}: {found}");
        answer
    };
    let browser: Accept =
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8".parse().expect("valid");
    let answer = check("/api/v1/pages/none", None, "application/json").await;
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "no_page"));
    let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.ends_with('.') && message.contains("none"), "{message}");
    check("/api/v1/pages/none", Some(browser.clone()), "application/json").await;
    check("/_live/none", None, "application/json").await;
    check("/none", None, "text/html").await;
    check("/none", Some(browser.clone()), "text/html").await;
    check("/none", Some(Accept::JSON), "application/json").await;
    check("/raw/none", None, "text/plain").await;
    let page = check("/raw/none", Some(browser), "text/html").await;
    let id = page.header("X-Request-Id").expect("an id").to_owned();
    assert!(page.text().contains(&id), "the page names its request");
    assert!(!page.text().contains("rocket"), "no internals");
}

async fn static_base(wiki: &Wiki) -> String {
    let text = wiki.get("/pages").await.text().to_owned();
    let base = text.split("data-static=\"").nth(1).and_then(|rest| rest.split('"').next());
    base.expect("data-static").to_owned()
}

#[rocket::async_test]
async fn a_static_file_is_kept_for_a_year_and_sent_compressed() {
    let wiki = Wiki::new().await;
    let base = static_base(&wiki).await;
    let path = format!("{base}/css/tokens.css");
    let plain = wiki.get(&path).await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.header("Cache-Control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(plain.header("Content-Type"), Some("text/css; charset=utf-8"));
    assert_eq!(
        (plain.header("Vary"), plain.header("Content-Encoding")),
        (Some("Accept-Encoding"), None)
    );

    let gzip = Header::new("Accept-Encoding", "gzip, deflate, br");
    let packed = send(wiki.ask(Method::Get, &path).header(gzip)).await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.bytes[..]).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain.bytes);
    assert!(packed.bytes.len() < plain.bytes.len());

    let etag = plain.header("ETag").expect("an ETag").to_owned();
    let again = send(wiki.ask(Method::Get, &path).header(Header::new("If-None-Match", etag))).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));

    let old = wiki.get("/static/0123456789abcdef/css/tokens.css").await;
    assert_eq!((old.status, old.header("Cache-Control")), (200, Some("no-cache")));
    assert_eq!(old.bytes, plain.bytes);
}

#[rocket::async_test]
async fn no_path_of_a_static_file_leads_outside() {
    let wiki = Wiki::new().await;
    let base = static_base(&wiki).await;
    for path in [
        "",
        "/",
        "/css",
        "/css/",
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e/Cargo.toml",
        "/css/../../Cargo.toml",
        "/css/..%5c..%5cCargo.toml",
        "//etc/passwd",
        "/css/tokens.css/",
        "/css/tokens.css%00",
        "/./css/tokens.css",
    ] {
        let answer = wiki.get(&format!("{base}{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[rocket::async_test]
async fn overrides_replace_templates_and_static_files() {
    let overrides = tempfile::tempdir().expect("temporary directory");
    std::fs::create_dir_all(overrides.path().join("static/css")).expect("made");
    std::fs::create_dir_all(overrides.path().join("templates")).expect("made");
    std::fs::write(overrides.path().join("static/css/tokens.css"), "body{}").expect("written");
    std::fs::write(
        overrides.path().join("templates/new.html.j2"),
        "mine {{ path }} {{ site.name }}",
    )
    .expect("written");
    let plain = Wiki::new().await;
    let wiki = Wiki::with(|s| {
        s.overrides = Some(overrides.path().to_owned());
        s.site_name = "A & B".into();
    })
    .await;
    assert_eq!(wiki.get("/new?path=%3Cscript%3E").await.text(), "mine &lt;script&gt; A &amp; B");
    let base = static_base(&wiki).await;
    assert_ne!(base, static_base(&plain).await);
    assert_eq!(wiki.get(&format!("{base}/css/tokens.css")).await.text(), "body{}");
}

#[rocket::async_test]
async fn a_proxys_header_is_not_believed_by_default() {
    // Rocket itself must not look at it either: its answer would be wrong for everybody who asks.
    let wiki = Wiki::new().await;
    let request = wiki.ask(Method::Get, "/").header(Header::new("X-Real-IP", "203.0.113.9"));
    let request = request.remote("198.51.100.1:1000".parse().expect("valid"));
    assert_eq!(request.inner().client_ip(), Some("198.51.100.1".parse().expect("valid")));
}

#[rocket::async_test]
async fn a_monstrous_accept_costs_nothing() {
    let wiki = Wiki::new().await;
    let accept: String = (0..8_000).map(|i| format!("a/b{i};q=0.5,")).collect();
    let mut took = Vec::new();
    // The same bytes where nobody parses them are what the headers cost by themselves.
    for name in ["X-Filler", "Accept"] {
        let before = std::time::Instant::now();
        for path in ["/api/v1/pages/None", "/wiki/None", "/raw/None", "/nothing"] {
            let header = Header::new(name, format!("{accept}text/html"));
            let answer = wiki.client.get(path).header(header).dispatch().await;
            assert_eq!(answer.status(), Status::NotFound, "{path}");
        }
        took.push(before.elapsed());
    }
    // It was several thousand times as much.
    assert!(took[1] < took[0] * 50, "{took:?}");
}

#[rocket::async_test]
async fn the_live_interface_is_no_image() {
    let wiki = Wiki::new().await;
    for path in ["/_live/events?mode=poll", "/%5Flive/events?mode=poll", "/_live/names?q=a"] {
        for (dest, good) in [
            ("image", false),
            ("video", false),
            ("iframe", false),
            ("empty", true),
            ("document", true),
        ] {
            let request = wiki.client.get(path).header(Header::new("Sec-Fetch-Dest", dest));
            let status = request.dispatch().await.status();
            assert!(
                (status == Status::NotFound) != good || path.contains('%'),
                "{path} {dest}: {status}"
            );
            assert!(good || status == Status::NotFound, "{path} {dest}: {status}");
        }
    }
}
