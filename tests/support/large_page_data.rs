//! Fills a data directory with one page that was edited very often, for tests in a browser.
//!
//! `large_page --data DIR --edits 100000 --seed 7 --units 100000 --page Large`, all of which have
//! these values but the directory. Prints the page's number.

#[path = "large_page.rs"]
mod large_page;

use std::collections::HashMap;
use std::path::Path;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: HashMap<&str, &str> = arguments
        .chunks_exact(2)
        .map(|pair| (pair[0].trim_start_matches('-'), &*pair[1]))
        .collect();
    let number = |name: &str, usual: u64| {
        given.get(name).map_or(usual, |text| text.parse().expect("a number"))
    };
    let data = given.get("data").expect("--data DIR");
    let path = given.get("page").copied().unwrap_or("Large");
    let (edits, units) = (number("edits", 100_000), number("units", 100_000));
    // No gate asks whose they are.
    let clients: Vec<u64> = (0..large_page::AUTHORS as u64).map(|who| who * 7_919 + 11).collect();
    let people = large_page::People::new(number("seed", 7), &clients, units as usize);
    let log = people.write(edits as usize);
    println!("{}", large_page::store_log(Path::new(data), path, &log).await.0);
}
