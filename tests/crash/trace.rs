//! Reads what strace saw and judges whether each answer came after the sync that it promises.

use std::collections::HashSet;

/// What happened, in order, as far as it matters.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Step {
    /// A request with an operation id was read from a client.
    Asked,
    /// Something was written to the journal.
    Written,
    /// `fdatasync` or `fsync` came back with 0.
    Synced,
    /// An answer that says `"saved":true` was written to a client.
    Answered,
}

/// The steps in a trace made by `strace -f -yy`. A request and its answer also pass the hop behind
/// the front door; what counts is what the client sends and hears, on the public port.
pub fn steps(trace: &str, port: u16) -> Vec<Step> {
    let public = format!("<TCP:[127.0.0.1:{port}->");
    // Whose unfinished call is on such a socket: the line that ends it does not say.
    let mut waiting = HashSet::new();
    let step = |line| step(line, &public, &mut waiting);
    trace.lines().filter_map(step).collect()
}

fn step<'t>(line: &'t str, public: &str, waiting: &mut HashSet<&'t str>) -> Option<Step> {
    // `PID name(args` or `PID <... name resumed>rest`.
    let (pid, call) = line.split_once(' ')?;
    let call = call.trim_start();
    let (name, resumed) = match call.strip_prefix("<... ") {
        Some(rest) => (rest.split(' ').next()?, true),
        None => (call.split('(').next()?, false),
    };
    let unfinished = line.ends_with("<unfinished ...>");
    let ok = line.trim_end().ends_with("= 0");
    let client = if resumed { waiting.remove(pid) } else { line.contains(public) };
    if unfinished && client {
        waiting.insert(pid);
    }
    match name {
        "read" | "recvfrom" | "recvmsg" | "readv"
            if client && line.contains("/updates?client=") =>
        {
            Some(Step::Asked)
        }
        "fdatasync" | "fsync" if !unfinished && ok => Some(Step::Synced),
        // A write counts from its beginning, an answer too: the stricter reading of both.
        "write" | "writev" | "sendto" | "sendmsg"
            if client && line.contains(r#"\"saved\":true"#) =>
        {
            Some(Step::Answered)
        }
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2"
            if !resumed && line.contains("journal") =>
        {
            Some(Step::Written)
        }
        _ => None,
    }
}

/// Counts the answers; an error names the first that came before a sync of what was written for it.
///
/// Holds for one writer that waits for each answer: between its question and the answer there
/// must be a write to the journal and, later, a completed sync.
pub fn judge(steps: &[Step]) -> Result<usize, String> {
    let (mut asked, mut written, mut synced, mut answers) = (false, false, false, 0);
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Asked => (asked, written, synced) = (true, false, false),
            Step::Written => written = true,
            Step::Synced => synced = written,
            Step::Answered => {
                if !(asked && synced) {
                    let from = index.saturating_sub(12);
                    return Err(format!(
                        "answer {answers} came before its sync: {:?}",
                        &steps[from..=index]
                    ));
                }
                answers += 1;
                asked = false;
            }
        }
    }
    Ok(answers)
}

#[test]
fn a_trace_is_read_into_steps() {
    let trace = concat!(
        "71 recvfrom(11<TCP:[127.0.0.1:8000->127.0.0.1:9]>, \"POST /_live/pages/1/updates?client=a&op=b HTTP/1.1\\r\\n\", 8192, 0, NULL, NULL) = 310\n",
        "74 recvfrom(21<TCP:[127.0.0.1:9001->127.0.0.1:9002]>, \"POST /_live/pages/1/updates?client=a&op=b HTTP/1.1\\r\\n\", 8192, 0, NULL, NULL) = 310\n",
        "72 pwrite64(7</data/journal/000001>, \"abc\"..., 120, 4096) = 120\n",
        "72 fdatasync(7</data/journal/000001> <unfinished ...>\n",
        "73 epoll_wait(3<anon_inode:[eventpoll]>, [], 1024, 10) = 0\n",
        "72 <... fdatasync resumed>)               = 0\n",
        "74 writev(21<TCP:[127.0.0.1:9001->127.0.0.1:9002]>, [{iov_base=\"{\\\"rev\\\":1,\\\"saved\\\":true}\", iov_len=22}], 1) = 22\n",
        "71 writev(11<TCP:[127.0.0.1:8000->127.0.0.1:9]>, [{iov_base=\"HTTP/1.1 200 OK\\r\\n\", iov_len=17}, {iov_base=\"{\\\"rev\\\":1,\\\"saved\\\":true}\", iov_len=22}], 2) = 39\n",
    );
    assert_eq!(steps(trace, 8000), [Step::Asked, Step::Written, Step::Synced, Step::Answered]);
}

#[test]
fn an_answer_before_its_sync_is_found() {
    use Step::{Answered, Asked, Synced, Written};
    assert_eq!(judge(&[Asked, Written, Synced, Answered, Asked, Written, Synced, Answered]), Ok(2));
    assert!(judge(&[Asked, Written, Answered, Synced]).is_err());
    assert!(judge(&[Asked, Synced, Written, Answered]).is_err());
    assert!(judge(&[Asked, Synced, Answered]).is_err());
}
