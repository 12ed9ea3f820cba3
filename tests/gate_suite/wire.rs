//! Yjs updates written by hand, byte by byte.

/// One struct of an update.
pub struct Item(pub Vec<u8>);

pub fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

pub fn string(text: &[u8]) -> Vec<u8> {
    [number(text.len() as u64), text.to_vec()].concat()
}

fn id((client, clock): (u64, u64)) -> Vec<u8> {
    [number(client), number(clock)].concat()
}

/// A struct of any content kind; the parent is the root `body` where one is needed.
pub fn item(
    kind: u8,
    origin: Option<(u64, u64)>,
    right: Option<(u64, u64)>,
    content: Vec<u8>,
) -> Item {
    let info =
        kind | if origin.is_some() { 0x80 } else { 0 } | if right.is_some() { 0x40 } else { 0 };
    let mut bytes = vec![info];
    bytes.extend(origin.map(id).unwrap_or_default());
    bytes.extend(right.map(id).unwrap_or_default());
    if origin.is_none() && right.is_none() {
        bytes.push(1);
        bytes.extend(string(b"body"));
    }
    bytes.extend(content);
    Item(bytes)
}

/// Text at the start of the page.
pub fn text(text: &str) -> Item {
    item(4, None, None, string(text.as_bytes()))
}

pub fn text_after(origin: (u64, u64), text: &str) -> Item {
    item(4, Some(origin), None, string(text.as_bytes()))
}

pub fn text_before(right: (u64, u64), text: &str) -> Item {
    item(4, None, Some(right), string(text.as_bytes()))
}

pub fn collected(length: u64) -> Item {
    Item([vec![0], number(length)].concat())
}

pub fn deleted(length: u64) -> Item {
    item(1, None, None, number(length))
}

/// What one client wrote, from a clock on.
pub fn section(client: u64, clock: u64, items: Vec<Item>) -> Vec<u8> {
    let mut bytes = number(items.len() as u64);
    bytes.extend(number(client));
    bytes.extend(number(clock));
    bytes.extend(items.into_iter().flat_map(|item| item.0));
    bytes
}

/// Deleted ranges (clock, length) per client.
pub type Deletes<'a> = &'a [(u64, &'a [(u64, u64)])];

pub fn update(sections: &[Vec<u8>], deletes: Deletes<'_>) -> Vec<u8> {
    let mut bytes = number(sections.len() as u64);
    bytes.extend(sections.concat());
    bytes.extend(number(deletes.len() as u64));
    for (client, ranges) in deletes {
        bytes.extend(number(*client));
        bytes.extend(number(ranges.len() as u64));
        for (clock, length) in *ranges {
            bytes.extend(number(*clock));
            bytes.extend(number(*length));
        }
    }
    bytes
}

/// An update of one client's structs and nothing deleted.
pub fn write(client: u64, clock: u64, items: Vec<Item>) -> Vec<u8> {
    update(&[section(client, clock, items)], &[])
}
