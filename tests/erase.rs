//! Erasing, with the real program: afterwards the bytes are looked for on disk, also inside of what
//! is compressed, and in a new backup.
//!
//! `TEST_ERASE_ROUNDS` sets the number of kills, `TEST_ERASE_SEED` repeats a run.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use halley::page::{PageId, Revision};
use halley::store::{Options, Store, StoreError, Table};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server::Server;
use typist::Typist;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, Transact, Update};

#[path = "crash/server.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod server;
#[path = "erase/typist.rs"]
mod typist;

/// With a character of two units, and one of three bytes.
const SECRET: &str = "hunter2-😀-Pässwort€";
const WHY: &str = "a password was pasted by mistake";

/// Starts `halley` with arguments and something on its standard input.
fn halley(data: &Path, arguments: &[&str], input: &str) -> Child {
    let mut command = Command::new(Server::program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HALLEY_") {
            command.env_remove(name);
        }
    }
    let mut child = command
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Gone already when the arguments are wrong.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child
}

fn erase(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut all = vec!["erase", "--why", WHY];
    all.extend(arguments);
    halley(data, &all, input).wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { found.push(path) }
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(path, to).map(drop).unwrap() }
    }
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Files that have a text as it is: UTF-8, UTF-16, base64 at each of its three offsets.
fn raw(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut wanted = vec![
        text.as_bytes().to_vec(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ];
    for offset in 0..3 {
        let padded = [&vec![0; offset][..], text.as_bytes()].concat();
        let encoded = BASE64_STANDARD.encode(&padded[..padded.len() / 3 * 3]);
        wanted.push(encoded.as_bytes()[4..].to_vec());
    }
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        // The reserve is large, and nobody writes into it.
        bytes != vec![0; bytes.len()] && wanted.iter().any(|wanted| has(&bytes, wanted))
    };
    files(dir).into_iter().filter(holds).collect()
}

fn open(dir: &Path) -> Store {
    let options = Options { free_floor_bytes: 0, reserve_bytes: 0, ..Options::default() };
    // A child that another test starts at this moment has the lock as well until it is the program.
    let begun = Instant::now();
    loop {
        match Store::open(dir, options.clone()) {
            Err(StoreError::Locked) if begun.elapsed() < Duration::from_secs(10) => {}
            opened => return opened.unwrap(),
        }
    }
}

/// Everything that a store can be made to say, uncompressed: records, updates, snapshots, and each
/// text that each page ever had. The texts of a page by revision.
fn texts(store: &Store, page: u64) -> Vec<String> {
    let doc = Doc::new();
    let body = doc.get_or_insert_text("body");
    let mut texts = vec![String::new()];
    loop {
        let after = Revision(texts.len() as u64 - 1);
        let entries = store.read_log(PageId(page), after, 1 << 20).unwrap();
        if entries.is_empty() {
            return texts;
        }
        for (_, entry) in entries {
            let update = Update::decode_v1(&entry.update).unwrap();
            doc.transact_mut().apply_update(update).unwrap();
            texts.push(body.get_string(&doc.transact()));
        }
    }
}

/// Where a text is inside of what a store keeps compressed.
fn decoded(dir: &Path, text: &str) -> Vec<String> {
    let store = open(dir);
    let mut found = Vec::new();
    let tables =
        [Table::Meta, Table::Pages, Table::Names, Table::Clients, Table::Revisions, Table::Visits];
    for table in tables {
        for (key, value) in store.list(table, &[], None, usize::MAX).unwrap() {
            if has(&key, text.as_bytes()) || has(&value, text.as_bytes()) {
                found.push(format!("{table:?} {}", String::from_utf8_lossy(&value)));
            }
        }
    }
    for (key, _) in store.list(Table::Pages, &[], None, usize::MAX).unwrap() {
        let page = u64::from_be_bytes(key.try_into().unwrap());
        for (revision, entry) in store.read_log(PageId(page), Revision(0), usize::MAX).unwrap() {
            if has(&entry.update, text.as_bytes()) || entry.op.contains(text) {
                found.push(format!("update {revision} of page {page}"));
            }
        }
        for (revision, shown) in texts(&store, page).iter().enumerate() {
            if shown.contains(text) {
                found.push(format!("text {revision} of page {page}"));
            }
        }
        let mut at = Revision(u64::MAX);
        while let Some((revision, state)) = store.snapshot_at(PageId(page), at).unwrap() {
            if has(&state, text.as_bytes()) {
                found.push(format!("snapshot {revision} of page {page}"));
            }
            let Some(before) = revision.0.checked_sub(1) else { break };
            at = Revision(before);
        }
    }
    store.close().unwrap();
    found
}

/// The same in a copy (a backup made now), and in one of which the database must be made from the
/// checkpoint.
fn anywhere(data: &Path, text: &str) -> Vec<String> {
    let mut found: Vec<_> = raw(data, text).iter().map(|path| path.display().to_string()).collect();
    let backup = tempfile::tempdir().unwrap();
    copy(data, backup.path());
    found.extend(decoded(backup.path(), text));
    fs::remove_dir_all(backup.path().join("sled")).unwrap();
    found.extend(decoded(backup.path(), text).iter().map(|found| format!("checkpoint: {found}")));
    found
}

/// A wiki with the secret in a page's journal, chunks, packs, snapshots, names and texts: typed,
/// pasted, corrected, merged, deleted. The page `notes` has the number 2, `other` the number 3.
async fn fill(data: &Path) -> Vec<Typist> {
    let server = Server::start(data, &[]);
    let http = typist::http_client();
    for page in ["notes", "other"] {
        typist::put(&http, &server.url(&format!("/api/v1/pages/{page}")), "*", "first line\n")
            .await;
    }
    let ann = Typist::open(&server, "ann", 2).await;
    ann.rename(&server, &format!("Ann {SECRET}")).await;
    let mut ann = ann.again(&server).await;
    let mut ben = Typist::open(&server, "ben", 2).await;
    // Character by character, with a mistake.
    let mut at = 0;
    for character in "The word is ".chars().chain(SECRET.chars()).chain(" and\n".chars()) {
        at += ann.replace(&server, at, 0, &character.to_string()).await;
        if character == 'P' {
            ann.replace(&server, at, 0, "q").await;
            ann.replace(&server, at, 1, "").await;
        }
    }
    // Somebody else pastes it, in the middle of a line.
    ben.pull(&server).await;
    ben.replace(&server, 4, 0, &format!("<<{SECRET}>> ")).await;
    // And deletes what Ann wrote.
    ben.erase_last(&server, SECRET).await;
    server.kill();
    // The old part of it goes into packs.
    let store = open(data);
    let head = store.head(PageId(2)).unwrap().unwrap().revision;
    store.save_snapshot(PageId(2), head, ben.state()).await.unwrap();
    store.compact(u64::MAX).await.unwrap();
    store.checkpoint().await.unwrap();
    store.close().unwrap();
    drop(store);

    let server = Server::start(data, &[]);
    let page = server.url("/api/v1/pages/notes");
    let (tag, text) = typist::get(&http, &page).await;
    typist::put(&http, &page, &tag, &format!("{text}merged {SECRET} here\n")).await;
    ann.pull(&server).await;
    // Half of it goes and comes back.
    ann.replace_last(&server, "hunter2", "hunter").await;
    ann.replace_last(&server, "hunter", "hunter2").await;
    ben.pull(&server).await;
    ben.replace(&server, 0, 0, "more ").await;
    typist::name(&http, &server, "notes", 2, &format!("before {SECRET} came")).await;
    server.kill();
    vec![ann, ben]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_text_is_in_no_file_and_no_backup_and_everything_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let typists = fill(data).await;
    let before = anywhere(data, SECRET);
    println!("{} places before: {before:#?}", before.len());
    for place in ["Revisions", "Clients", "update", "text", "snapshot", "checkpoint: "] {
        assert!(before.iter().any(|found| found.contains(place)), "{place}: {before:#?}");
    }
    let store = open(data);
    let (was, other) = (texts(&store, 2), texts(&store, 3));
    let log = |store: &Store, page| store.read_log(PageId(page), Revision(0), usize::MAX).unwrap();
    let (old_log, other_log) = (log(&store, 2), log(&store, 3));
    store.close().unwrap();
    drop(store);

    let output = erase(data, &["--page", "notes", "--text-from-stdin"], &format!("{SECRET}\n"));
    let text = said(&output);
    println!("{text}");
    assert!(output.status.success());
    assert!(text.contains("No file in ") && text.contains(" of notes."), "{text}");
    assert!(!text.contains(SECRET) && !text.contains("have it too"), "{text}");
    assert_eq!(anywhere(data, SECRET), [] as [String; 0]);

    let store = open(data);
    assert_eq!(store.health().recovered, None);
    let (now, masked) = (texts(&store, 2), "\u{2588}".repeat(SECRET.encode_utf16().count()));
    assert_eq!(now.len(), was.len() + 1, "one edit more");
    for (revision, (was, now)) in was.iter().zip(&now).enumerate() {
        // Also what was there of it before it was whole.
        let units = was.encode_utf16().zip(now.encode_utf16());
        assert!(units.into_iter().all(|(was, now)| was == now || now == 0x2588), "{revision}");
        assert_eq!(was.encode_utf16().count(), now.encode_utf16().count(), "{revision}");
        let units: Vec<u16> = now.encode_utf16().collect();
        for (at, _) in was.match_indices(SECRET) {
            let at = was[..at].encode_utf16().count();
            let here = String::from_utf16(&units[at..at + masked.chars().count()]).unwrap();
            assert_eq!(here, masked, "{revision}");
        }
    }
    let left = was.last().unwrap().replace(SECRET, "");
    assert_eq!(now.last(), Some(&left));
    for (old, new) in old_log.iter().zip(&log(&store, 2)) {
        assert_eq!((old.0, &old.1.author, old.1.at_ms), (new.0, &new.1.author, new.1.at_ms));
    }
    assert_eq!(log(&store, 2).last().unwrap().1.author, "erasure");
    assert!(log(&store, 3) == other_log && texts(&store, 3) == other);
    store.close().unwrap();
    drop(store);

    let server = Server::start(data, &[]);
    let http = typist::http_client();
    let page = server.url("/api/v1/pages/notes");
    let (tag, text) = typist::get(&http, &page).await;
    assert_eq!(text, left);
    for place in ["history", "playback", "blame"] {
        let shown = typist::page(&http, &server.url(&format!("/{place}/notes"))).await;
        assert!(shown.contains(WHY) && shown.contains("An administrator"), "{place}: {shown}");
        assert!(!shown.contains(SECRET), "{place}");
    }
    assert!(!typist::page(&http, &server.url("/history/other")).await.contains(WHY));
    let timeline = typist::page(&http, &server.url("/_live/pages/2/timeline")).await;
    assert!(!timeline.contains(SECRET) && timeline.contains(&masked[..6]), "{timeline}");
    let old = typist::page(&http, &server.url("/raw/notes?rev=40")).await;
    assert_eq!(old, now[40]);
    // Whoever has a copy of it is not told that it is still right.
    for path in ["/raw/notes?rev=40", "/api/v1/pages/notes?rev=40"] {
        let again =
            http.get(server.url(path)).header("If-None-Match", "\"40\"").send().await.unwrap();
        assert_eq!(again.status(), 200, "{path}");
    }

    // A text made from one that had it.
    let stale = typist::try_put(&http, &page, "\"40\"", &was[40]).await;
    assert_eq!(stale, 412);
    // Browsers that were open, with all they ever sent.
    for mut typist in typists {
        typist.send_all_again(&server).await;
        assert_eq!(typist::get(&http, &page).await.1, left, "what is known comes back to nobody");
        typist.pull(&server).await;
        assert_eq!(typist.text(), left, "it goes from their text as well");
        let end = typist.text().encode_utf16().count() as u32;
        typist.replace(&server, end, 0, "").await;
    }
    let again = format!("{left}and on\n");
    typist::put(&http, &page, &tag, &again).await;
    assert_eq!(typist::get(&http, &page).await.1, again);
    server.kill();
    assert_eq!(anywhere(data, SECRET), [] as [String; 0]);
    let output = erase(data, &["--page", "notes", "--text-from-stdin"], SECRET);
    assert!(output.status.success());
    assert!(said(&output).contains("Nothing is erased"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_leaves_all_or_nothing_and_the_next_start_goes_on() {
    let rounds = setting("TEST_ERASE_ROUNDS").unwrap_or(8);
    let seed = setting("TEST_ERASE_SEED").unwrap_or_else(rand::random);
    println!("{rounds} rounds, TEST_ERASE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let filled = folder.path().join("filled");
    fill(&filled).await;
    let store = open(&filled);
    let left = texts(&store, 2).last().unwrap().replace(SECRET, "");
    store.close().unwrap();
    drop(store);
    let arguments = ["--page", "notes", "--text-from-stdin"];

    let whole = folder.path().join("whole");
    copy(&filled, &whole);
    let begun = Instant::now();
    assert!(erase(&whole, &arguments, SECRET).status.success());
    let takes = begun.elapsed();
    let (mut erased, mut noted) = (0, 0);
    for round in 0..rounds {
        let data = folder.path().join(format!("round{round}"));
        copy(&filled, &data);
        let mut all = vec!["erase", "--why", WHY];
        all.extend(arguments);
        let mut child = halley(&data, &all, SECRET);
        // Every other one when it is surely under way.
        let waits = round % 2 == 0;
        while waits && !data.join("erasing").exists() && running(&mut child) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(takes.mul_f64(random.random_range(0.0..if waits { 0.3 } else { 0.7 })))
            .await;
        let _ = child.kill();
        let _ = child.wait();
        let is_noted = data.join("erasing").exists();
        noted += u64::from(is_noted);
        let server = Server::start(&data, &[]);
        let (_, text) =
            typist::get(&typist::http_client(), &server.url("/api/v1/pages/notes")).await;
        let is_erased = text == left;
        server.kill();
        assert!(is_erased || text.contains(SECRET), "round {round}: {text}");
        assert!(is_erased || !is_noted, "round {round}: what was begun goes on");
        erased += u64::from(is_erased);
        for name in ["erasing", "erased.part", "erased.whole"] {
            assert!(!data.join(name).exists(), "round {round}: {name} is left");
        }
        if !is_erased {
            assert!(erase(&data, &arguments, SECRET).status.success(), "round {round}");
        }
        assert_eq!(anywhere(&data, SECRET), [] as [String; 0], "round {round}");
        fs::remove_dir_all(&data).unwrap();
    }
    assert!(noted > 0 || rounds < 8, "no kill came while it was under way");
    println!("{noted} kills while it was under way, {erased} erased at the next start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_author_goes_with_all_they_wrote_and_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let server = Server::start(data, &[]);
    let http = typist::http_client();
    typist::put(&http, &server.url("/api/v1/pages/notes"), "*", "start\n").await;
    let mut ann = Typist::open(&server, "ann", 2).await;
    let mut ben = Typist::open(&server, "ben", 2).await;
    ann.replace(&server, 0, 0, "something personal ").await;
    ben.pull(&server).await;
    ben.replace(&server, 9, 0, ", says Ben,").await;
    // Under the name of now: a page that is deleted, one that came back, and what a revision is
    // called.
    for page in ["gone", "back"] {
        typist::put(&http, &server.url(&format!("/api/v1/pages/{page}")), "*", "other\n").await;
    }
    ann.rename(&server, "Zebediah").await;
    ann.delete(&server, "gone").await;
    ann.delete(&server, "back").await;
    ann.restore(&server, "back").await;
    ann.call(&server, "notes", 1, "Rewritten quuxly").await;
    server.kill();
    let store = open(data);
    let (login, name) = store
        .list(Table::Clients, &2_u64.to_be_bytes(), None, 100)
        .unwrap()
        .into_iter()
        .map(|(_, value)| serde_json::from_slice::<serde_json::Value>(&value).unwrap())
        .find(|client| client["login"] == store_login(&store, 2))
        .map(|client| (client["login"].as_str().unwrap().to_owned(), client["name"].clone()))
        .unwrap();
    store.close().unwrap();
    drop(store);
    let handle = halley::live::history::handle(&login);
    let output = erase(data, &["--all-pages", "--author", &handle, "--by", "Cid"], "");
    println!("{}", said(&output));
    assert!(output.status.success());
    assert!(said(&output).contains("Erased 19 characters of notes."), "{}", said(&output));
    assert_eq!(anywhere(data, "personal"), [] as [String; 0]);
    assert_eq!(anywhere(data, &format!("\"name\":{name}")), [] as [String; 0]);
    assert_eq!(anywhere(data, "Zebediah"), [] as [String; 0]);
    assert_eq!(anywhere(data, "quuxly"), [] as [String; 0]);
    let server = Server::start(data, &[]);
    let (_, text) = typist::get(&http, &server.url("/api/v1/pages/notes")).await;
    assert_eq!(text, ", says Ben,start\n");
    let history = typist::page(&http, &server.url("/history/notes")).await;
    assert!(history.contains("by Cid): a password"), "{history}");
    for place in ["/recent", "/history/notes", "/history/gone", "/history/back", "/wiki/gone"] {
        let response = http.get(server.url(place)).send().await.unwrap();
        let shown = response.text().await.unwrap();
        assert!(!shown.contains("Zebediah") && !shown.contains("quuxly"), "{place}: {shown}");
    }
}

/// Who wrote the second revision of a page.
fn store_login(store: &Store, page: u64) -> String {
    store.read_log(PageId(page), Revision(1), 1 << 20).unwrap()[0].1.author.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_is_refused_and_other_places_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let server = Server::start(data, &[]);
    let http = typist::http_client();
    for page in ["notes", "other"] {
        let url = server.url(&format!("/api/v1/pages/{page}"));
        typist::put(&http, &url, "*", &format!("see {SECRET} there\n")).await;
    }
    let text = ["--page", "notes", "--text-from-stdin"];
    let running = erase(data, &text, SECRET);
    assert!(!running.status.success() && said(&running).contains("stop it first"));
    server.kill();
    for (arguments, input, sentence) in [
        (&text[..], "ab", "less than 3 characters"),
        (&["--page", "nowhere", "--text-from-stdin"], SECRET, "there is no page nowhere"),
        (&["--text-from-stdin"], SECRET, "--page"),
        (&text, "by mistake", "the reason has the text itself"),
    ] {
        let output = erase(data, arguments, input);
        let text = said(&output);
        assert!(!output.status.success() && text.contains(sentence), "{text}");
    }
    let output = erase(data, &text, SECRET);
    let text = said(&output);
    assert!(output.status.success() && text.contains("These pages have it too"), "{text}");
    assert!(text.contains("name: other\n"), "{text}");
    let output = erase(data, &["--all-pages", "--text-from-stdin"], SECRET);
    let text = said(&output);
    assert!(text.contains(" of other.") && !text.contains(" of notes."), "{text}");
    assert!(text.contains("No file in"), "{text}");
    assert_eq!(anywhere(data, SECRET), [] as [String; 0]);
    // Only in a name.
    let server = Server::start(data, &[]);
    typist::name(&http, &server, "other", 1, "the nickname").await;
    server.kill();
    let output = erase(data, &["--page", "notes", "--text-from-stdin"], "nickname");
    let text = said(&output);
    assert!(text.contains("Nothing is erased") && text.contains("have it too"), "{text}");
    let output = erase(data, &["--page", "other", "--text-from-stdin"], "nickname");
    assert!(said(&output).contains("Masked 1 name."), "{}", said(&output));
    assert_eq!(anywhere(data, "nickname"), [] as [String; 0]);
    let server = Server::start(data, &[]);
    let history = typist::page(&http, &server.url("/history/other")).await;
    assert!(history.contains("Something was erased") && history.contains("the \u{2588}"));
    server.kill();
    // Nothing that this version cannot read is done, and nothing is served before it is.
    fs::write(data.join("erasing"), "what?").unwrap();
    assert!(Server::try_start(data, &[]).is_none());
    fs::remove_file(data.join("erasing")).unwrap();
    Server::start(data, &[]).kill();
}

fn running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
