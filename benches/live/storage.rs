//! The parts that need no network: appending and rendering.

use std::time::{Duration, Instant};

use halley::markdown::Renderer;
use halley::page::PageId;
use halley::store::{LogEntry, Options, Store};

use super::{Outcome, baseline, report};

const LASTING: Duration = Duration::from_secs(2);

/// Durable appends a second with 1, 16 and 64 writers.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn measure_append() -> Outcome {
    report::part("Durable appends of 200 bytes a second");
    let bare = tokio::task::spawn_blocking(|| baseline::fdatasync_loop(LASTING)).await??;
    for writers in [1_u64, 16, 64] {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("data");
        let store =
            tokio::task::spawn_blocking(move || Store::open(&path, Options::default())).await??;
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let mut count = 0_u64;
                while begun.elapsed() < LASTING {
                    let entry = LogEntry {
                        at_ms: count,
                        author: "gbench".into(),
                        op: format!("{writer}-{count}"),
                        update: vec![7; 200],
                    };
                    store.append(PageId(writer + 1), vec![entry]).await?;
                    count += 1;
                }
                Ok::<_, halley::store::StoreError>(count)
            }));
        }
        let mut total = 0;
        for task in tasks {
            total += task.await??;
        }
        let rate = total as f64 / begun.elapsed().as_secs_f64();
        report::line(
            &format!("{writers} writers"),
            &format!("{rate:.0}/s"),
            Some(("bare write+fdatasync", format!("{bare:.0}/s"), rate / bare)),
        );
        tokio::task::spawn_blocking(move || store.close()).await??;
    }
    Ok(())
}

/// A page of 100 KB: from nothing, and after one keystroke.
pub fn measure_render() {
    report::part("Rendering a page of 100 KB");
    let text = page_text(100_000);
    let bare = median(|| {
        let mut html = String::new();
        pulldown_cmark::html::push_html(
            &mut html,
            pulldown_cmark::Parser::new_ext(&text, pulldown_cmark::Options::all()),
        );
        std::hint::black_box(html);
    });
    let exists = |_: &_| true;
    let fresh = median(|| {
        std::hint::black_box(Renderer::default().render(&text, &exists));
    });
    let mut renderer = Renderer::default();
    renderer.render(&text, &exists);
    let mut typed = text.clone();
    let middle = text.len() / 2;
    let middle = (middle..).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let stroke = median(|| {
        typed.insert(middle, 'x');
        std::hint::black_box(renderer.render(&typed, &exists));
    });
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let ratio = |time: Duration| time.as_secs_f64() / bare.as_secs_f64();
    report::line(
        "whole, sanitised, highlighted",
        &ms(fresh),
        Some(("bare parser", ms(bare), ratio(fresh))),
    );
    report::line(
        "after one keystroke",
        &ms(stroke),
        Some(("bare parser", ms(bare), ratio(stroke))),
    );
}

fn median(mut work: impl FnMut()) -> Duration {
    work();
    let times = (0..15).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    });
    report::Latencies::new(times.collect()).share(0.5)
}

/// A page of about this many bytes, with what pages have.
pub fn page_text(bytes: usize) -> String {
    const SECTION: &str = "## Section\n\nA paragraph with *emphasis*, `code`, a [[Page]] and a \
        [link](https://example.org), long enough to be wrapped once or twice on a usual screen \
        before it ends.\n\n- first\n- second\n  - nested\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n\
        ```rust\nfn main() { println!(\"hello\"); }\n```\n\n> A quotation.\n\n";
    SECTION.repeat(bytes / SECTION.len() + 1)
}
