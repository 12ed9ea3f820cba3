//! An editor without a screen: a Yjs document, a login, and a line of text for each edit.

use std::collections::HashSet;
use std::time::Duration;

use rand::Rng;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

/// What a posted update came to.
pub enum Answer {
    /// Durable, the server says.
    Saved,
    /// Refused for now (429, 503, 507): to be sent again.
    Later(StatusCode),
    /// No answer: the server may have it or not.
    Lost,
}

/// A writer with a document of its own on one page.
pub struct Writer {
    http: Client,
    name: String,
    page: u64,
    doc: Doc,
    /// State that the server is known to have.
    sent: StateVector,
    /// The update on its way, with its operation id and the line that it carries.
    unsent: Option<(String, Vec<u8>, String)>,
    count: usize,
    /// Lines that the server called saved.
    pub acknowledged: HashSet<String>,
    /// Every line that was ever written, for "at most once".
    pub written: HashSet<String>,
}

/// A client with a cookie jar, and a time limit that no healthy answer reaches.
pub fn http_client() -> Client {
    Client::builder().cookie_store(true).timeout(Duration::from_secs(20)).build().expect("a client")
}

/// Creates an empty page, or finds it; its id.
pub async fn create_page(http: &Client, base: &str, path: &str) -> Option<u64> {
    let url = format!("{base}/api/v1/pages/{path}");
    let put = http
        .put(&url)
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "text/markdown")
        .header("If-None-Match", "*")
        .body("start\n");
    let answer = put.send().await.ok()?;
    if !matches!(
        answer.status(),
        StatusCode::CREATED | StatusCode::OK | StatusCode::PRECONDITION_FAILED
    ) {
        return None;
    }
    let answer = http.get(&url).header("Accept", "application/json").send().await.ok()?;
    let body: Value = answer.json().await.ok()?;
    body["id"].as_u64().or_else(|| body["id"].as_str()?.parse().ok())
}

impl Writer {
    /// Opens a session on a page; `None` when the server is not there.
    pub async fn open(http: Client, base: &str, name: &str, page: u64) -> Option<Self> {
        let session = http
            .post(format!("{base}/_live/pages/{page}/session"))
            .header("Sec-Fetch-Site", "same-origin")
            .json(&json!({ "client": tab(name) }))
            .send()
            .await
            .ok()?;
        assert!(
            session.status().is_success() || session.status() == 429,
            "session: {}",
            session.status()
        );
        let session: Value = session.json().await.ok()?;
        let doc = Doc::with_client_id(session["client_id"].as_u64()?);
        doc.get_or_insert_text("body");
        let whole = http.get(format!("{base}/_live/pages/{page}/doc")).send().await.ok()?;
        let whole = whole.bytes().await.ok()?;
        doc.transact_mut()
            .apply_update(Update::decode_v1(&whole).expect("a document"))
            .expect("a document");
        let sent = doc.transact().state_vector();
        Some(Self {
            http,
            name: name.to_owned(),
            page,
            doc,
            sent,
            unsent: None,
            count: 0,
            acknowledged: HashSet::new(),
            written: HashSet::new(),
        })
    }

    /// Sends what is unsent, or writes a new line and sends it.
    pub async fn step(&mut self, base: &str, rng: &mut (impl Rng + Send)) -> Answer {
        if self.unsent.is_none() {
            let line = format!("{}-{}", self.name, self.count);
            let operation = format!("op-{}-{}", self.name, self.count);
            self.count += 1;
            let text = self.doc.get_or_insert_text("body");
            let mut change = self.doc.transact_mut();
            let current = text.get_string(&change);
            // Lines begin where lines begin, so that nobody writes into another's.
            let starts: Vec<usize> = std::iter::once(0)
                .chain(current.match_indices('\n').map(|(at, _)| at + 1))
                .collect();
            let at = starts[rng.random_range(0..starts.len())];
            text.insert(&mut change, at as u32, &format!("{line}\n"));
            drop(change);
            let update = self.doc.transact().encode_diff_v1(&self.sent);
            self.written.insert(line.clone());
            self.unsent = Some((operation, update, line));
        }
        self.send(base).await
    }

    /// Whether an edit waits for its answer.
    pub fn waiting(&self) -> bool {
        self.unsent.is_some()
    }

    async fn send(&mut self, base: &str) -> Answer {
        let Some((operation, update, line)) = self.unsent.take() else { return Answer::Saved };
        let url = format!(
            "{base}/_live/pages/{}/updates?client={}&op={operation}",
            self.page,
            tab(&self.name)
        );
        let answer = self
            .http
            .post(url)
            .header("Sec-Fetch-Site", "same-origin")
            .header("Content-Type", "application/octet-stream")
            .body(update.clone())
            .send()
            .await;
        let Ok(answer) = answer else {
            self.unsent = Some((operation, update, line));
            return Answer::Lost;
        };
        let status = answer.status();
        match status.as_u16() {
            200 => {
                let Ok(body) = answer.json::<Value>().await else {
                    self.unsent = Some((operation, update, line));
                    return Answer::Lost;
                };
                assert_eq!(body["saved"], json!(true), "a 200 means saved: {body}");
                self.sent = self.doc.transact().state_vector();
                self.acknowledged.insert(line);
                Answer::Saved
            }
            409 => {
                let Some(known) = behind(answer).await else {
                    self.unsent = Some((operation, update, line));
                    return Answer::Lost;
                };
                self.sent = known;
                let state = self.doc.transact().state_vector();
                if self.sent.get(&self.doc.client_id()) >= state.get(&self.doc.client_id()) {
                    // The lost answer was a yes.
                    self.acknowledged.insert(line);
                    return Answer::Saved;
                }
                let update = self.doc.transact().encode_diff_v1(&self.sent);
                self.unsent = Some((format!("{operation}-again"), update, line));
                Answer::Later(status)
            }
            429 | 503 | 507 => {
                self.unsent = Some((operation, update, line));
                Answer::Later(status)
            }
            _ => panic!("{}: {status}: {}", self.name, answer.text().await.unwrap_or_default()),
        }
    }
}

/// The state vector of a 409 that asks for the difference.
async fn behind(answer: Response) -> Option<StateVector> {
    use base64::Engine;
    let body: Value = answer.json().await.ok()?;
    let code = &body["error"]["code"];
    assert!(code == "behind" || code == "missing", "only a difference may be asked for: {body}");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(body["sv"].as_str()?.trim_end_matches('='))
        .expect("base64url");
    Some(StateVector::decode_v1(&bytes).expect("a state vector"))
}

/// A tab id out of a writer's name: 16 to 32 characters of a-z and 0-9.
fn tab(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{letters:x<20}")
}
