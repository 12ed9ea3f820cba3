//! Everything a real editor sends passes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use halley::live::document::{Document, DocumentError};
use halley::live::gate::{GateState, MANY_STRUCTS, Passed, Refusal};
use yrs::undo::{Options as UndoOptions, UndoManager};
use yrs::{ReadTxn, Text, Transact, merge_updates_v1};

use crate::editors::Editor;
use crate::wire::{text, write};

/// A page as a room keeps it.
#[derive(Default)]
struct Server {
    gate: GateState,
    document: Document,
}

impl Server {
    fn post(&mut self, update: &[u8], owned: &[u64]) -> Result<Passed, Refusal> {
        let passed = self.gate.check(update, &|client| owned.contains(&client))?;
        let after = self.document.text_after(update).unwrap();
        self.document.apply(update).unwrap();
        assert_eq!(after, self.document.text());
        self.gate.accept(update);
        let state = self.document.diff(None).unwrap();
        assert_eq!(self.gate, GateState::from_state(&state).unwrap());
        Ok(passed)
    }
}

#[test]
fn typing_deleting_and_replacing_pass() {
    let mut server = Server::default();
    let mut editor = Editor::new(5);
    for (at, delete, insert) in [
        (0, 0, "H"),
        (1, 0, "i"),
        (2, 0, " 😀😀"),
        (0, 2, "Hello"),
        (6, 2, ""),
        (8, 0, "!"),
        (0, 9, ""),
    ] {
        let update = editor.replace(at, delete, insert);
        let passed = server.post(&update, &[5]).unwrap();
        assert_eq!(passed.inserted_bytes, insert.len() as u64);
        assert_eq!(server.document.text(), editor.text());
    }
    assert_eq!(server.document.text(), "");
}

#[test]
fn undo_and_redo_pass() {
    let mut server = Server::default();
    let mut editor = Editor::new(5);
    let options = UndoOptions { capture_timeout_millis: 0, ..UndoOptions::default() };
    let mut undo = UndoManager::<()>::with_options(options);
    undo.expand_scope(&editor.doc, &editor.body);
    let mut sent = editor.doc.transact().state_vector();
    let mut post = |editor: &Editor| {
        let transaction = editor.doc.transact();
        let update = transaction.encode_state_as_update_v1(&sent);
        sent = transaction.state_vector();
        drop(transaction);
        server.post(&update, &[5]).unwrap();
        assert_eq!(server.document.text(), editor.text());
    };
    for word in ["one 😀", " two", " three"] {
        let mut transaction = editor.doc.transact_mut();
        let end = editor.body.len(&transaction);
        editor.body.insert(&mut transaction, end, word);
        drop(transaction);
        post(&editor);
    }
    editor.replace(0, 6, "");
    post(&editor);
    for _ in 0..4 {
        assert!(undo.undo_blocking());
        post(&editor);
    }
    assert_eq!(editor.text(), "");
    for _ in 0..3 {
        assert!(undo.redo_blocking());
        post(&editor);
    }
    assert_eq!(editor.text(), "one 😀 two three");
}

#[test]
fn two_sessions_of_one_login_merged_offline_pass_in_one_update() {
    let mut server = Server::default();
    let mut first = Editor::new(5);
    let mut second = Editor::new(6);
    let mut updates = Vec::new();
    for round in 0..10 {
        let update = first.replace(0, 0, &format!("a{round}😀"));
        second.apply(&update);
        updates.push(update);
        let update = second.replace(2, if round % 2 == 0 { 0 } else { 2 }, "b");
        first.apply(&update);
        updates.push(update);
    }
    let merged = merge_updates_v1(&updates).unwrap();
    server.post(&merged, &[5, 6]).unwrap();
    assert_eq!(server.document.text(), first.text());
    // The answer got lost: the same again, alone and with more.
    assert!(server.post(&merged, &[5, 6]).unwrap().known);
    updates.push(second.replace(0, 0, "more "));
    let longer = merge_updates_v1(&updates).unwrap();
    let behind = server.post(&longer, &[5, 6]).unwrap_err();
    assert!(matches!(behind, Refusal::Behind { client: 6, .. }), "{behind:?}");
    assert_eq!(server.post(updates.last().unwrap(), &[6]).unwrap().inserted, 5);
    assert_eq!(server.document.text(), second.text());
}

#[test]
fn a_whole_document_sent_again_is_known() {
    let mut server = Server::default();
    let mut editor = Editor::new(5);
    editor.replace(0, 0, "some text 😀");
    editor.replace(2, 3, "");
    let all = editor.state();
    assert!(!server.post(&all, &[5]).unwrap().known);
    assert!(server.post(&all, &[5]).unwrap().known);
}

#[test]
fn a_large_paste_and_its_deletion_pass() {
    let mut server = Server::default();
    let mut editor = Editor::new(5);
    let paste = "a line of text with 😀 in it\n".repeat(8_000);
    let update = editor.replace(0, 0, &paste);
    assert_eq!(server.post(&update, &[5]).unwrap().inserted_bytes, paste.len() as u64);
    let length = paste.encode_utf16().count() as u32;
    server.post(&editor.replace(0, length, ""), &[5]).unwrap();
    assert_eq!(server.document.text(), "");
}

/// Two clients at one place cost yrs (and Yjs) the product of their structs.
#[test]
fn a_crowd_at_one_place_is_found_out_before_it_is_applied() {
    let crowd = |client| write(client, 0, (0..20_000).map(|_| text("x")).collect());
    let mut server = Server::default();
    server.post(&crowd(5), &[5]).unwrap();
    let passed = server.gate.check(&crowd(6), &|_| true).unwrap();
    assert!(passed.structs > MANY_STRUCTS);
    let refused = server.document.text_after(&crowd(6));
    assert!(matches!(refused, Err(DocumentError::Refused(Refusal::TooLarge(_)))));
    assert_eq!(server.document.text().len(), 20_000);
}

/// Recorded by `yjs.mjs` beside this file with Yjs 13.6.33: client, update and text after it.
#[test]
fn updates_of_real_yjs_pass_and_give_the_same_text() {
    let mut server = Server::default();
    let mut count = 0;
    for (at, line) in include_str!("yjs_updates.txt").lines().enumerate() {
        let mut parts = line.split(' ');
        let client = parts.next().unwrap().parse().unwrap();
        let [update, text] = [(); 2].map(|()| BASE64.decode(parts.next().unwrap()).unwrap());
        let passed = server.post(&update, &[client]);
        passed.unwrap_or_else(|refusal| panic!("line {}: {refusal}", at + 1));
        assert_eq!(server.document.as_str().as_bytes(), text, "line {}", at + 1);
        count += 1;
    }
    assert!(count > 100);
}
