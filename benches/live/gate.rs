//! What the gate costs beside decoding, which it stands before.

use std::hint::black_box;
use std::time::{Duration, Instant};

use halley::live::document::Document;
use halley::live::gate::GateState;
use yrs::updates::decoder::Decode as _;
use yrs::{ClientID, Doc, OffsetKind, Options, Text as _, Transact as _, Update};

use super::report;

/// A keystroke and a paste, judged and decoded.
pub fn measure_gate() {
    report::part("Judging an update before it is decoded");
    let options =
        Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(ClientID::new(5)) };
    let doc = Doc::with_options(options);
    let text = doc.get_or_insert_text("body");
    let insert = |at: u32, what: &str| {
        let mut transaction = doc.transact_mut();
        text.insert(&mut transaction, at, what);
        transaction.encode_update_v1()
    };
    let mut document = Document::new();
    let begin = insert(0, &super::storage::page_text(20_000));
    if document.apply(&begin).is_err() {
        return;
    }
    let Some(mut gate) = document.diff(None).ok().and_then(|s| GateState::from_state(&s).ok())
    else {
        return;
    };
    for (name, what) in
        [("a keystroke", "x".to_owned()), ("a paste of 240 KB", "a line of text\n".repeat(16_000))]
    {
        let update = insert(10, &what);
        let judged = time(|| {
            let _ = black_box(gate.check(&update, &|_| true));
        });
        let decoded = time(|| {
            let _ = black_box(Update::decode_v1(&update));
        });
        gate.accept(&update);
        let us = |time: Duration| format!("{:.2} µs", time.as_secs_f64() * 1e6);
        let ratio = judged.as_secs_f64() / decoded.as_secs_f64();
        report::line(name, &us(judged), Some(("decoding alone", us(decoded), ratio)));
    }
}

/// Mean time of many rounds.
fn time(mut work: impl FnMut()) -> Duration {
    let mut rounds = 1_u32;
    loop {
        let begun = Instant::now();
        (0..rounds).for_each(|_| work());
        let took = begun.elapsed();
        if took >= Duration::from_millis(100) {
            return took / rounds;
        }
        rounds *= 4;
    }
}
