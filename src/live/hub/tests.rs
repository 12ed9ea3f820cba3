use super::*;
use crate::live::topic::encode;
use crate::page::PageId;

const A: Topic = Topic::View(PageId(1));
const B: Topic = Topic::Here(PageId(1));

fn event(n: u64) -> Encoded {
    encode(A, "n", &n)
}

/// The event `n` where it was published as the `n`th.
fn at(n: u64) -> (u64, Encoded) {
    (n, event(n))
}

#[test]
fn a_reader_gets_each_event_once_in_order_over_its_topics() {
    let hub = Hub::new();
    let start = hub.head();
    hub.publish(A, event(1));
    hub.publish(Topic::Site, event(2));
    hub.publish(B, event(3));
    hub.publish(A, event(4));
    assert_eq!(
        hub.read(&[B, A], start, 1 << 20),
        Read::Batch { to: 4, events: vec![at(1), at(3), at(4)], more: false }
    );
    assert_eq!(
        hub.read(&[A, B], hub.head(), 1 << 20),
        Read::Batch { to: 4, events: vec![], more: false }
    );
}

#[test]
fn what_is_kept_for_readers_is_bounded_however_many_ask_for_different_things() {
    let hub = Hub::new();
    let start = hub.head();
    hub.publish(A, event(1));
    let ask = |n: u64| hub.delivery(&[Topic::View(PageId(n)), A], start);
    assert!(Arc::ptr_eq(&ask(1), &ask(1)), "made once for all who ask for the same");
    (0..1000).for_each(|n| drop(ask(n)));
    assert_eq!(hub.kept.lock().expect("whole").len(), KEPT);
    hub.publish(A, event(2));
    ask(1);
    assert_eq!(hub.kept.lock().expect("whole").len(), 1, "nobody asks for older ones again");
}

#[test]
fn a_limit_ends_a_batch_at_its_last_event_and_says_more() {
    let hub = Hub::new();
    let start = hub.head();
    for n in 1..=3 {
        hub.publish(A, event(n));
    }
    hub.publish(B, event(4));
    let Read::Batch { to, events, more } = hub.read(&[A], start, (event(1).len() + SEQ_BYTES) * 2)
    else {
        panic!("no reset is due");
    };
    assert_eq!((to, events.len(), more), (2, 2, true));
    let rest = hub.read(&[A], hub.cursor(to), 1 << 20);
    assert_eq!(rest, Read::Batch { to: 4, events: vec![at(3)], more: false });
}

#[test]
fn a_cursor_that_cannot_be_served_is_a_reset() {
    let hub = Hub::new();
    let start = hub.head();
    for n in 0..=RING_EVENTS as u64 {
        hub.publish(A, event(n));
    }
    let head = hub.head().seq;
    assert_eq!(hub.read(&[A], start, 1 << 20), Read::Reset { head }, "off the ring");
    assert_eq!(hub.read(&[A], hub.cursor(head + 1), 1), Read::Reset { head }, "ahead");
    let other = Hub::new().head();
    assert_eq!(hub.read(&[A], other, 1), Read::Reset { head }, "other epoch");
    assert!(matches!(hub.read(&[B], start, 1), Read::Batch { .. }), "a quiet topic is whole");
}

#[test]
fn many_bytes_push_old_events_off_the_ring() {
    let hub = Hub::new();
    let start = hub.head();
    let big: Encoded = vec![b'x'; RING_BYTES / 2 + 1].into();
    hub.publish(A, Arc::clone(&big));
    hub.publish(A, big);
    assert!(matches!(hub.read(&[A], start, 1 << 30), Read::Reset { .. }));
    assert!(matches!(hub.read(&[A], hub.cursor(1), 1 << 30), Read::Batch { .. }));
}

#[test]
fn all_rings_together_have_a_limit_and_the_quiet_ones_give_way() {
    let hub = Hub::new();
    let start = hub.head();
    let big: Encoded = vec![b'x'; RING_BYTES / 2].into();
    let topic = |n| Topic::Doc(PageId(n));
    let pages = HUB_BYTES as u64 / (RING_BYTES as u64 / 2) + 2;
    let small = hub.publish(topic(0), event(0));
    for n in 1..=pages {
        hub.publish(topic(n), Arc::clone(&big));
    }
    let held = hub.read_lock();
    assert_eq!(held.bytes, held.topics.values().map(|ring| ring.bytes).sum::<usize>());
    assert!(held.bytes <= HUB_BYTES);
    drop(held);
    assert_eq!(hub.read(&[topic(0)], start, 10), Read::Reset { head: hub.head().seq });
    assert!(matches!(hub.read(&[topic(0)], hub.cursor(small), 10), Read::Batch { .. }));
    assert!(matches!(hub.read(&[topic(pages)], start, 10), Read::Batch { .. }));
}

#[tokio::test]
async fn whoever_follows_a_topic_that_breaks_off_is_woken_and_reset() {
    let hub = Hub::new();
    hub.publish(A, event(1));
    let (first, head) = (hub.cursor(0), hub.head());
    let listener = hub.listen(vec![A]);
    let waiting = tokio::spawn(async move { listener.after(head).await });
    tokio::task::yield_now().await;
    hub.break_off(&[A]);
    waiting.await.expect("woken");
    for cursor in [first, head] {
        assert_eq!(hub.read(&[A], cursor, 10), Read::Reset { head: 2 });
    }
    assert!(matches!(hub.read(&[B], head, 10), Read::Batch { .. }));
    hub.publish(A, event(3));
    let after = Read::Batch { to: 3, events: vec![at(3)], more: false };
    assert_eq!(hub.read(&[A], hub.cursor(2), 10), after);
}

#[tokio::test]
async fn a_listener_is_woken_by_its_topics_and_by_the_end() {
    let hub = Hub::new();
    let (start, second) = (hub.cursor(0), hub.cursor(2));
    let listener = hub.listen(vec![A]);
    let waiting = tokio::spawn(async move {
        listener.after(start).await;
        listener
    });
    tokio::task::yield_now().await;
    hub.publish(B, event(1));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    hub.publish(A, event(2));
    let listener = waiting.await.expect("woken");
    assert_eq!(hub.listeners(A), 1);
    let waiting = tokio::spawn(async move { listener.after(second).await });
    tokio::task::yield_now().await;
    hub.drain();
    waiting.await.expect("woken by the end");
    assert_eq!(hub.listeners(A), 0, "leaving is dropping");
}
