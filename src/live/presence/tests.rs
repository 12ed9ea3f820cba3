use super::carrier::{AWAY_AFTER, CROWD, FAULT_MEMORY, GRACE};
use super::*;
use crate::live::hub::Read;

const PAGE: PageId = PageId(7);

fn author(id: &str) -> Author {
    Author { id: id.into(), name: format!("Name of {id}"), colour: 3 }
}

fn beat(client: &str, caret: Option<&str>) -> Beat {
    Beat {
        client: client.into(),
        via: None,
        known: true,
        page: PAGE,
        mode: Mode::Writing,
        rung: Rung::Stream,
        interval: Duration::ZERO,
        caret: caret.map(|c| RawValue::from_string(c.into()).expect("JSON")),
    }
}

fn via(client: &str, carrier: &str) -> Beat {
    Beat { via: Some(carrier.into()), ..beat(client, None) }
}

/// Kinds of events since a position, with the tab ids of those who came or left.
fn told(hub: &Hub, since: u64) -> Vec<String> {
    let Read::Batch { events, .. } = hub.read(&[Topic::Here(PAGE)], hub.cursor(since), 1 << 20)
    else {
        panic!("no reset is due")
    };
    let told = |event: &[u8]| {
        let event: serde_json::Value = serde_json::from_slice(event).expect("JSON");
        let (kind, client) = (event["kind"].as_str(), event["data"]["client"].as_str());
        format!("{} {}", kind.expect("kind"), client.expect("client"))
    };
    events.iter().map(|(_, event)| told(event)).collect()
}

struct Room {
    hub: Arc<Hub>,
    presence: Arc<Presence>,
}

impl Room {
    fn new() -> Self {
        let hub = Hub::new();
        let presence = Presence::new(Arc::clone(&hub));
        Self { hub, presence }
    }

    /// Ann, with her tabs.
    fn with(beats: impl IntoIterator<Item = Beat>) -> Self {
        let room = Self::new();
        for beat in beats {
            room.presence.beat(&author("ann"), beat).expect("beat");
        }
        room
    }

    fn stream(&self, client: &str) -> StreamLease {
        self.presence.stream_opened(client, "ann")
    }

    /// Time passes, and the sweep comes by.
    async fn after(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.presence.sweep();
    }

    fn present(&self) -> Vec<(String, Mode)> {
        self.presence.list(PAGE).into_iter().map(|entry| (entry.client, entry.mode)).collect()
    }

    /// What was told beside the first coming of `beats` tabs.
    fn told(&self, beats: u64) -> Vec<String> {
        told(&self.hub, beats)
    }
}

const MOMENT: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn someone_who_comes_moves_and_leaves_is_told_at_once() {
    let room = Room::new();
    let ann = author("ann");
    assert_eq!(room.presence.beat(&ann, beat("tab-a", None)), Ok(true));
    tokio::time::advance(CHANGE_PAUSE).await;
    assert_eq!(room.presence.beat(&ann, beat("tab-a", Some("[1]"))), Ok(false));
    room.presence.leave("tab-a", "ann");
    assert_eq!(room.told(0), ["joined tab-a", "changed tab-a", "left tab-a"]);
    assert!(room.present().is_empty());
}

#[tokio::test(start_paused = true)]
async fn moves_are_merged_and_the_last_one_is_told() {
    let room = Room::new();
    let ann = author("ann");
    for n in 0..50 {
        room.presence.beat(&ann, beat("tab-a", Some(&n.to_string()))).expect("beat");
    }
    room.after(CHANGE_PAUSE).await;
    assert_eq!(room.told(0), ["joined tab-a", "changed tab-a"]);
    assert_eq!(room.presence.list(PAGE)[0].caret.as_ref().map(|c| c.get()), Some("49"));
}

#[tokio::test(start_paused = true)]
async fn a_tab_whose_connection_just_ends_has_left_within_a_second_and_was_never_away() {
    let room = Room::with([beat("tab-a", None)]);
    drop(room.stream("tab-a"));
    tokio::time::sleep(GRACE - MOMENT).await;
    assert_eq!(room.present().len(), 1, "it may still come back");
    // Without a sweep.
    tokio::time::sleep(2 * MOMENT).await;
    assert!(room.present().is_empty());
    assert_eq!(room.presence.count(PAGE), 0);
    room.after(Duration::from_secs(60)).await;
    assert_eq!(room.told(1), ["left tab-a"], "once, also when the lease runs out");
    assert_eq!(room.presence.beat(&author("ann"), beat("tab-a", None)), Ok(true));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_in_time_was_never_gone() {
    let room = Room::with([beat("tab-a", None)]);
    for sign in ["stream", "beat", "poll", "hold"] {
        let stream = room.stream("tab-a");
        tokio::time::sleep(FAULT_MEMORY).await;
        room.presence.beat(&author("ann"), beat("tab-a", None)).expect("beat");
        let since = room.hub.head().seq;
        drop(stream);
        tokio::time::sleep(GRACE - MOMENT).await;
        let (mut stream, mut hold) = (None, None);
        match sign {
            "stream" => stream = Some(room.stream("tab-a")),
            "hold" => hold = Some(room.presence.hold_opened("tab-a", "ann")),
            "poll" => room.presence.renew("tab-a", "ann", Rung::Stream),
            _ => drop(room.presence.beat(&author("ann"), beat("tab-a", None))),
        }
        if hold.is_some() {
            // As the route does before it waits.
            room.presence.renew("tab-a", "ann", Rung::Stream);
        }
        room.after(Duration::from_secs(12)).await;
        assert_eq!(room.told(since), [""; 0], "{sign}");
        assert_eq!(room.present(), [("tab-a".to_owned(), Mode::Writing)], "{sign}");
        if let Some(stream) = &mut stream {
            stream.ended_in_order();
        }
        if let Some(hold) = hold {
            hold.answered();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_too_late_is_there_again_at_once() {
    let room = Room::with([beat("tab-a", Some("[5]"))]);
    drop(room.stream("tab-a"));
    room.after(Duration::from_secs(3)).await;
    assert!(room.present().is_empty());
    let _stream = room.stream("tab-a");
    assert_eq!(room.told(1), ["left tab-a", "joined tab-a"]);
    assert_eq!(room.presence.list(PAGE)[0].caret.as_ref().map(|c| c.get()), Some("[5]"));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_cuts_again_and_again_makes_nobody_flicker() {
    let room = Room::with([beat("tab-a", None)]);
    drop(room.stream("tab-a"));
    tokio::time::sleep(GRACE / 2).await;
    for _ in 0..5 {
        let stream = room.stream("tab-a");
        tokio::time::sleep(Duration::from_secs(5)).await;
        room.presence.beat(&author("ann"), beat("tab-a", None)).expect("beat");
        drop(stream);
        // Its pauses grow.
        room.after(Duration::from_secs(4)).await;
    }
    assert_eq!(room.told(1), [""; 0]);
    // Nothing more comes: away, and then the lease runs out.
    room.after(AWAY_AFTER).await;
    assert_eq!(room.present(), [("tab-a".to_owned(), Mode::Away)]);
    room.after(Duration::from_secs(45)).await;
    assert_eq!(room.told(1), ["changed tab-a", "left tab-a"]);
}

#[tokio::test(start_paused = true)]
async fn who_was_away_for_a_while_is_back_with_the_next_stream() {
    let room = Room::with([beat("tab-a", None)]);
    drop(room.stream("tab-a"));
    drop(room.stream("tab-a"));
    room.after(AWAY_AFTER).await;
    assert_eq!(room.present()[0].1, Mode::Away);
    let _stream = room.stream("tab-a");
    room.after(CHANGE_PAUSE).await;
    assert_eq!(room.present()[0].1, Mode::Writing);
    assert_eq!(room.told(1), ["changed tab-a", "changed tab-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_rung_is_no_leaving_whichever_end_is_noticed_first() {
    let room = Room::with([beat("tab-a", None)]);
    // To polling, whose first request is answered before the end of the stream is noticed.
    let stream = room.stream("tab-a");
    tokio::time::sleep(Duration::from_secs(5)).await;
    room.presence.renew("tab-a", "ann", Rung::Poll);
    drop(stream);
    room.after(Duration::from_secs(5)).await;
    room.presence.renew("tab-a", "ann", Rung::Poll);
    // To held requests.
    let stream = room.stream("tab-a");
    tokio::time::sleep(FAULT_MEMORY).await;
    room.presence.beat(&author("ann"), beat("tab-a", None)).expect("beat");
    let hold = room.presence.hold_opened("tab-a", "ann");
    drop(stream);
    room.after(Duration::from_secs(20)).await;
    hold.answered();
    // A trial of streaming beside polls that are far apart.
    let polling =
        Beat { rung: Rung::Poll, interval: Duration::from_secs(60), ..beat("tab-a", None) };
    room.presence.beat(&author("ann"), polling).expect("beat");
    tokio::time::sleep(Duration::from_secs(20)).await;
    drop(room.stream("tab-a"));
    room.after(Duration::from_secs(30)).await;
    assert!(room.told(1).iter().all(|told| told == "changed tab-a"), "{:?}", room.told(1));
    assert_eq!(room.present(), [("tab-a".to_owned(), Mode::Writing)]);
}

#[tokio::test(start_paused = true)]
async fn a_held_request_that_breaks_off_is_an_end_as_well() {
    let holding = Beat { rung: Rung::Hold, ..beat("tab-a", None) };
    let room = Room::with([holding]);
    for _ in 0..3 {
        room.presence.renew("tab-a", "ann", Rung::Hold);
        let hold = room.presence.hold_opened("tab-a", "ann");
        tokio::time::sleep(MOMENT).await;
        hold.answered();
        tokio::time::sleep(2 * GRACE).await;
    }
    assert_eq!(room.present().len(), 1, "an answer is no end");
    room.presence.renew("tab-a", "ann", Rung::Hold);
    drop(room.presence.hold_opened("tab-a", "ann"));
    tokio::time::sleep(GRACE + MOMENT).await;
    assert_eq!(room.told(1), ["left tab-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_bye_or_has_a_successor_ends_nothing() {
    let room = Room::with([beat("tab-a", None)]);
    let mut first = room.stream("tab-a");
    first.ended_in_order();
    drop(first);
    let second = room.stream("tab-a");
    let _third = room.stream("tab-a");
    drop(second);
    room.after(Duration::from_secs(30)).await;
    assert_eq!(room.told(1), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn all_tabs_of_a_browser_leave_with_the_connection_they_share() {
    let tabs = ["tab-a", "tab-b", "tab-c"].map(|tab| via(tab, "hub-1"));
    let room = Room::with(tabs.into_iter().chain([via("tab-d", "hub-2"), beat("tab-e", None)]));
    let shared = room.stream("hub-1");
    let _others = room.stream("hub-2");
    // The same name at another login is another connection.
    drop(room.presence.stream_opened("hub-1", "bob"));
    room.after(Duration::from_secs(5)).await;
    assert_eq!(room.told(5), [""; 0]);
    drop(shared);
    tokio::time::sleep(GRACE / 2).await;
    // One has lost only the connection.
    room.presence.beat(&author("ann"), via("tab-b", "hub-3")).expect("beat");
    tokio::time::sleep(GRACE).await;
    assert_eq!(room.told(5), ["left tab-a", "left tab-c"]);
    let _shared = room.stream("hub-1");
    assert_eq!(room.told(7), ["joined tab-a", "joined tab-c"], "it was merely slow");
}

#[tokio::test(start_paused = true)]
async fn a_tab_on_a_shared_connection_lives_by_its_own_lease() {
    let room = Room::with([via("tab-a", "hub-1")]);
    let _shared = room.stream("hub-1");
    room.after(Duration::from_secs(40)).await;
    assert_eq!(room.present().len(), 1);
    // What the shared connection does is no beat of the tab.
    room.presence.renew("hub-1", "ann", Rung::Poll);
    room.after(Duration::from_secs(6)).await;
    assert_eq!(room.told(1), ["left tab-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_tab_that_asks_for_itself_while_it_shares_a_connection_still_leaves_with_it() {
    let room = Room::with([via("tab-a", "hub-1")]);
    let shared = room.stream("hub-1");
    room.presence.renew("tab-a", "ann", Rung::Poll);
    assert_eq!(room.presence.list(PAGE)[0].rung, Rung::Stream);
    drop(shared);
    tokio::time::sleep(GRACE + MOMENT).await;
    assert_eq!(room.told(1), ["left tab-a"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_breath_of_a_tab_that_is_closed_is_no_sign_of_life() {
    let room = Room::with([beat("tab-a", None)]);
    drop(room.stream("tab-a"));
    let hidden = Beat { mode: Mode::Away, ..beat("tab-a", None) };
    room.presence.beat(&author("ann"), hidden).expect("beat");
    tokio::time::sleep(GRACE + MOMENT).await;
    assert!(room.present().is_empty());
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_all_at_once_are_a_proxys_doing() {
    let room = Room::new();
    let crowd: Vec<_> = (0..2 * CROWD).map(|n| format!("tab-{n}")).collect();
    let streams: Vec<_> = crowd
        .iter()
        .map(|tab| {
            room.presence.beat(&author(tab), beat(tab, None)).expect("beat");
            room.presence.stream_opened(tab, tab)
        })
        .collect();
    drop(streams);
    room.after(GRACE + MOMENT).await;
    assert_eq!(room.presence.count(PAGE), CROWD as usize, "the first of them looked like tabs");
    room.after(AWAY_AFTER).await;
    assert!(room.present().iter().all(|(_, mode)| *mode == Mode::Away));
}

#[tokio::test(start_paused = true)]
async fn one_client_that_breaks_off_over_and_over_makes_no_crowd_of_the_others() {
    let room = Room::with([beat("tab-a", None)]);
    let stream = room.stream("tab-a");
    for _ in 0..2 * CROWD {
        drop(room.presence.stream_opened("noise", "mallory"));
    }
    drop(stream);
    tokio::time::sleep(GRACE + MOMENT).await;
    assert_eq!(room.told(1), ["left tab-a"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_those_who_do_not_come_back() {
    let room = Room::new();
    for n in 0..50 {
        let (login, tab) = (format!("login-{n}"), format!("tab-{n}"));
        // Streams of those who are on no page are nobody's presence.
        drop(room.presence.stream_opened(&format!("other-{n}"), &login));
        drop(room.presence.hold_opened(&format!("other-{n}"), &login));
        room.presence.beat(&author(&login), via(&tab, "hub-1")).expect("beat");
        drop(room.presence.stream_opened("hub-1", &login));
    }
    assert_eq!(room.presence.lock().carriers.len(), 50);
    room.after(Duration::from_secs(45)).await;
    assert_eq!(room.presence.lock().carriers.len(), 50, "their faults are remembered for a while");
    room.after(FAULT_MEMORY).await;
    let inner = room.presence.lock();
    assert!(inner.carriers.len() == 0 && inner.pages.is_empty() && inner.clients.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_can_speak_or_leave_for_somebody_elses_tab() {
    let room = Room::with([beat("tab-a", None)]);
    let presence = &room.presence;
    assert_eq!(presence.beat(&author("bob"), beat("tab-a", None)), Err(BeatError::NotYours));
    presence.leave("tab-a", "bob");
    let (x, y) = (presence.stream_opened("tab-a", "ann"), presence.stream_opened("tab-a", "bob"));
    let z = presence.stream_opened("tab-a", "bob");
    assert!(!x.is_superseded() && !y.is_superseded() && !z.is_superseded());
    drop((y, z));
    room.after(Duration::from_secs(20)).await;
    assert_eq!(room.present(), [("tab-a".to_owned(), Mode::Writing)]);
}

#[tokio::test(start_paused = true)]
async fn the_third_stream_of_a_tab_ends_the_first() {
    let presence = Presence::new(Hub::new());
    let [a, b, c] = [(); 3].map(|()| presence.stream_opened("tab-a", "ann"));
    assert!(a.is_superseded() && !b.is_superseded() && !c.is_superseded());
}

#[tokio::test(start_paused = true)]
async fn it_is_told_when_a_known_login_has_a_page_in_sight_and_when_not_any_more() {
    let room = Room::with([beat("tab-a", None), Beat { known: false, ..beat("tab-b", None) }]);
    let moves = || {
        let moves = room.presence.take_moves().into_iter();
        moves.map(|moved| (moved.login, moved.page, moved.came)).collect::<Vec<_>>()
    };
    let told =
        |came: &[bool]| came.iter().map(|c| ("ann".to_owned(), PAGE, *c)).collect::<Vec<_>>();
    assert_eq!(moves(), [], "before a sweep");
    room.after(MOMENT).await;
    assert_eq!(moves(), told(&[true]), "once, and of the known one only");
    assert_eq!(room.presence.who_sees(PAGE), ["ann"]);
    let hidden = Beat { mode: Mode::Away, ..beat("tab-a", None) };
    for (next, came) in [(hidden, false), (beat("tab-a", None), true)] {
        room.presence.beat(&author("ann"), next).expect("beat");
        room.after(MOMENT).await;
        assert_eq!(moves(), told(&[came]));
    }
    drop(room.stream("tab-a"));
    room.after(GRACE + MOMENT).await;
    assert_eq!(moves(), told(&[false]), "its connection has ended");
    assert!(room.presence.who_sees(PAGE).is_empty());
    room.presence.beat(&author("ann"), beat("tab-a", None)).expect("beat");
    room.after(MOMENT).await;
    room.presence.leave("tab-a", "ann");
    assert_eq!(moves(), told(&[true, false]));
    assert_eq!(room.presence.pages(), [PAGE], "of the other tab");
}
