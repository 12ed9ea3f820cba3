//! Somebody who writes a page, with a yrs document of his own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Response;
use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    ClientID, Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact,
    Update,
};

use super::wiki::Person;

pub struct Editor {
    pub person: Person,
    pub page: u64,
    pub client: u64,
    pub doc: Doc,
    pub body: TextRef,
    /// Where the first copy of the document came from.
    pub cursor: String,
    pub ops: usize,
}

/// A document as the browser makes it.
pub fn new_doc(client: u64) -> (Doc, TextRef) {
    let mut options = Options::with_client_id(ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    let doc = Doc::with_options(options);
    let body = doc.get_or_insert_text("body");
    (doc, body)
}

impl Editor {
    /// A session, and the document.
    pub async fn open(person: &Person, page: u64) -> Self {
        let session = person
            .post(&format!("/_live/pages/{page}/session"))
            .json(&json!({ "client": person.tab }))
            .send()
            .await
            .expect("an answer");
        assert_eq!(session.status(), 200);
        let session: Value = session.json().await.expect("JSON");
        let client = session["client_id"].as_u64().expect("a client id");
        let (doc, body) = new_doc(client);
        let mut editor =
            Self { person: person.clone(), page, client, doc, body, cursor: String::new(), ops: 0 };
        editor.cursor = editor.pull().await;
        editor
    }

    /// Takes over what the server has and this document lacks; where to go on from.
    pub async fn pull(&self) -> String {
        let sv = URL_SAFE_NO_PAD.encode(self.doc.transact().state_vector().encode_v1());
        let path = format!("/_live/pages/{}/doc?sv={sv}", self.page);
        let answer = self.person.get(&path).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let cursor = answer.headers()["halley-cursor"].to_str().expect("text").to_owned();
        self.apply(&answer.bytes().await.expect("a body"));
        cursor
    }

    pub fn apply(&self, update: &[u8]) {
        let update = Update::decode_v1(update).expect("an update");
        self.doc.transact_mut().apply_update(update).expect("an update that fits");
    }

    /// Takes over a `doc` event.
    pub fn apply_event(&self, event: &Value) {
        if event["kind"] == "updated" {
            let update = event["data"]["update"].as_str().expect("base64");
            self.apply(&STANDARD.decode(update).expect("base64"));
        }
    }

    pub fn text(&self) -> String {
        self.body.get_string(&self.doc.transact())
    }

    pub fn len(&self) -> u32 {
        self.body.len(&self.doc.transact())
    }

    /// Types, and returns what to send.
    pub fn insert(&self, at: u32, text: &str) -> Vec<u8> {
        let mut change = self.doc.transact_mut();
        self.body.insert(&mut change, at, text);
        change.encode_update_v1()
    }

    pub fn remove(&self, at: u32, length: u32) -> Vec<u8> {
        let mut change = self.doc.transact_mut();
        self.body.remove_range(&mut change, at, length);
        change.encode_update_v1()
    }

    /// Removes all and types something else, as one update.
    pub fn replace_all(&self, text: &str) -> Vec<u8> {
        let length = self.len();
        let mut change = self.doc.transact_mut();
        self.body.remove_range(&mut change, 0, length);
        self.body.insert(&mut change, 0, text);
        change.encode_update_v1()
    }

    /// What is after a state vector, as sent by the server in `sv`.
    pub fn since(&self, sv: &Value) -> Vec<u8> {
        let sv = URL_SAFE_NO_PAD.decode(sv.as_str().expect("sv")).expect("base64url");
        let sv = StateVector::decode_v1(&sv).expect("a state vector");
        self.doc.transact().encode_diff_v1(&sv)
    }

    pub fn next_op(&mut self) -> String {
        self.ops += 1;
        format!("op-{}-{}", self.client, self.ops)
    }

    pub async fn post(&self, op: &str, update: Vec<u8>) -> Response {
        self.post_with(op, "", update).await
    }

    pub async fn post_with(&self, op: &str, more: &str, update: Vec<u8>) -> Response {
        self.try_post(op, more, update).await.expect("an answer")
    }

    pub async fn try_post(
        &self,
        op: &str,
        more: &str,
        update: Vec<u8>,
    ) -> reqwest::Result<Response> {
        let (page, tab) = (self.page, &self.person.tab);
        self.person
            .post(&format!("/_live/pages/{page}/updates?client={tab}&op={op}{more}"))
            .header("Content-Type", "application/octet-stream")
            .body(update)
            .send()
            .await
    }

    /// Sends, and insists that it is saved; the revision.
    pub async fn save(&mut self, update: Vec<u8>) -> u64 {
        let op = self.next_op();
        let answer = self.post(&op, update).await;
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!((status.as_u16(), &body["saved"]), (200, &json!(true)), "{body}");
        body["rev"].as_u64().expect("rev")
    }
}
