//! An editor without a screen that says exactly what is typed, and remembers what it sent.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::{
    ClientID, Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, Transact, Update,
};

use super::Server;

pub struct Typist {
    http: Client,
    name: String,
    page: u64,
    doc: Doc,
    /// Each update with its operation id.
    sent: Vec<(String, Vec<u8>)>,
}

pub fn http_client() -> Client {
    Client::builder().cookie_store(true).timeout(Duration::from_secs(20)).build().unwrap()
}

/// A page's tag and text.
pub async fn get(http: &Client, url: &str) -> (String, String) {
    let answer = http.get(url).header("Accept", "text/markdown").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    (tag, answer.text().await.unwrap())
}

pub async fn page(http: &Client, url: &str) -> String {
    let answer = http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.text().await.unwrap()
}

pub async fn try_put(http: &Client, url: &str, tag: &str, text: &str) -> u16 {
    let condition = if tag == "*" { "If-None-Match" } else { "If-Match" };
    let put = http
        .put(url)
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "text/markdown")
        .header(condition, tag)
        .body(text.to_owned());
    put.send().await.unwrap().status().as_u16()
}

pub async fn put(http: &Client, url: &str, tag: &str, text: &str) {
    let status = try_put(http, url, tag, text).await;
    assert!(matches!(status, 200 | 201), "{status}");
}

async fn post_form(http: &Client, url: &str, body: String) -> u16 {
    let post = http
        .post(url)
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body);
    post.send().await.unwrap().status().as_u16()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Names a revision of a page.
pub async fn name(http: &Client, server: &Server, page: &str, rev: u64, name: &str) {
    let body = format!("rev={rev}&name={}", encoded(name));
    let status = post_form(http, &server.url(&format!("/history/{page}")), body).await;
    assert!(status < 400, "{status}");
}

impl Typist {
    pub async fn open(server: &Server, name: &str, page: u64) -> Self {
        Self::with(http_client(), server, name, page).await
    }

    async fn with(http: Client, server: &Server, name: &str, page: u64) -> Self {
        let session = http
            .post(server.url(&format!("/_live/pages/{page}/session")))
            .header("Sec-Fetch-Site", "same-origin")
            .json(&json!({ "client": tab(name) }))
            .send()
            .await
            .unwrap();
        assert!(session.status().is_success(), "{}", session.status());
        let session: Value = session.json().await.unwrap();
        let mut options =
            Options::with_client_id(ClientID::new(session["client_id"].as_u64().unwrap()));
        options.offset_kind = OffsetKind::Utf16;
        let doc = Doc::with_options(options);
        doc.get_or_insert_text("body");
        let mut typist = Self { http, name: name.to_owned(), page, doc, sent: Vec::new() };
        typist.pull(server).await;
        typist
    }

    /// A new session of the same person.
    pub async fn again(&self, server: &Server) -> Self {
        let name = format!("{}again", self.name);
        Self::with(self.http.clone(), server, &name, self.page).await
    }

    pub async fn rename(&self, server: &Server, name: &str) {
        let body = format!("name={}&next=/", encoded(name));
        let status = post_form(&self.http, &server.url("/name"), body).await;
        assert!(status < 400, "{status}");
    }

    /// Deletes a page.
    pub async fn delete(&self, server: &Server, page: &str) {
        let url = server.url(&format!("/api/v1/pages/{page}"));
        let sent = self.http.delete(url).header("Sec-Fetch-Site", "same-origin").send();
        let status = sent.await.unwrap().status();
        assert!(status.is_success(), "{status}");
    }

    /// Brings it back.
    pub async fn restore(&self, server: &Server, page: &str) {
        let status =
            post_form(&self.http, &server.url(&format!("/restore/{page}")), String::new()).await;
        assert!(status < 400, "{status}");
    }

    /// Names a revision.
    pub async fn call(&self, server: &Server, page: &str, rev: u64, said: &str) {
        name(&self.http, server, page, rev, said).await;
    }

    pub fn text(&self) -> String {
        self.doc.get_or_insert_text("body").get_string(&self.doc.transact())
    }

    pub fn state(&self) -> Vec<u8> {
        self.doc.transact().encode_diff_v1(&StateVector::default())
    }

    /// Takes in what the server has.
    pub async fn pull(&mut self, server: &Server) {
        let url = server.url(&format!("/_live/pages/{}/doc", self.page));
        let whole = self.http.get(url).send().await.unwrap().bytes().await.unwrap();
        let update = Update::decode_v1(&whole).unwrap();
        self.doc.transact_mut().apply_update(update).unwrap();
    }

    /// Replaces UTF-16 units and sends that; the units inserted.
    pub async fn replace(&mut self, server: &Server, at: u32, delete: u32, insert: &str) -> u32 {
        let text = self.doc.get_or_insert_text("body");
        let update = {
            let mut change = self.doc.transact_mut();
            if delete > 0 {
                text.remove_range(&mut change, at, delete);
            }
            if !insert.is_empty() {
                text.insert(&mut change, at, insert);
            }
            change.encode_update_v1()
        };
        let operation = format!("op-{}-{}", self.name, self.sent.len());
        self.send(server, &operation, &update, true).await;
        self.sent.push((operation, update));
        insert.encode_utf16().count() as u32
    }

    /// Replaces the last place where a text stands.
    pub async fn replace_last(&mut self, server: &Server, old: &str, new: &str) {
        let text = self.text();
        let at = text[..text.rfind(old).unwrap()].encode_utf16().count() as u32;
        self.replace(server, at, old.encode_utf16().count() as u32, new).await;
    }

    pub async fn erase_last(&mut self, server: &Server, old: &str) {
        self.replace_last(server, old, "").await;
    }

    /// Sends everything once more, under the same operation ids, under new ones, and as one.
    pub async fn send_all_again(&mut self, server: &Server) {
        for (n, (operation, update)) in self.sent.clone().into_iter().enumerate() {
            self.send(server, &operation, &update, false).await;
            self.send(server, &format!("again-{}-{n}", self.name), &update, false).await;
        }
        let state = self.state();
        self.send(server, &format!("all-{}", self.name), &state, false).await;
    }

    async fn send(&self, server: &Server, operation: &str, update: &[u8], must: bool) {
        let url = server.url(&format!(
            "/_live/pages/{}/updates?client={}&op={operation}",
            self.page,
            tab(&self.name)
        ));
        loop {
            let answer = self
                .http
                .post(&url)
                .header("Sec-Fetch-Site", "same-origin")
                .header("Content-Type", "application/octet-stream")
                .body(update.to_vec())
                .send()
                .await
                .unwrap();
            let status = answer.status().as_u16();
            if status == 429 && must {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            assert!(!must || status == 200, "{status}: {}", answer.text().await.unwrap());
            return;
        }
    }
}

fn tab(name: &str) -> String {
    format!("{name:x<20}")
}
