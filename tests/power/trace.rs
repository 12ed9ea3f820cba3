//! What a process asked of the disk, read from a log that strace wrote (`-f -y -xx`).
//!
//! A call may begin on one line and end on a later one, while other threads call. Both lines
//! count: what was written before a sync *began* is what the sync makes durable, and it does so
//! when it *ends*.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What strace is told to log. Calls that the model does not know are in it on purpose: they end
/// the test instead of being overlooked.
pub const CALLS: &str = "trace=open,openat,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,\
    ftruncate,truncate,fallocate,fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,unlink,\
    unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,copy_file_range,sendfile,splice,\
    mmap,io_uring_setup";

/// A call: on which line it began and ended, and what it did.
#[derive(Debug)]
pub struct Event {
    pub start: usize,
    /// `usize::MAX` when the process was gone before it ended.
    pub end: usize,
    /// The process was killed meanwhile, and the call may have done nothing.
    pub unsure: bool,
    pub call: Call,
}

/// Calls that change something, or make it durable.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// A file was opened for writing.
    Open {
        path: PathBuf,
        create: bool,
        truncate: bool,
    },
    /// Bytes were written at an offset.
    Write {
        path: PathBuf,
        at: u64,
        data: Vec<u8>,
    },
    /// `ftruncate`.
    Length {
        path: PathBuf,
        length: u64,
    },
    /// `fallocate`: the file is at least so long.
    Reserve {
        path: PathBuf,
        length: u64,
    },
    /// `fsync` or `fdatasync` of a file or a directory.
    Sync {
        path: PathBuf,
    },
    /// It failed: what it should have covered may never reach the disk, and no later sync says so.
    SyncFailed {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// A file or an empty directory is gone.
    Remove {
        path: PathBuf,
    },
    MakeDir {
        path: PathBuf,
    },
    /// A line on standard output.
    Say {
        text: String,
    },
}

impl Call {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Open { path, .. }
            | Self::Write { path, .. }
            | Self::Length { path, .. }
            | Self::Reserve { path, .. }
            | Self::Sync { path }
            | Self::SyncFailed { path }
            | Self::Rename { from: path, .. }
            | Self::Remove { path }
            | Self::MakeDir { path } => Some(path),
            Self::Say { .. } => None,
        }
    }
}

/// Reads a log; only what happened below `root` and on standard output. Lines are counted from
/// `first`; also says how many there were.
pub fn read(log: &str, root: &Path, first: usize) -> (Vec<Event>, usize) {
    let mut events = Vec::new();
    // By thread: the line on which its call began, and the text up to there.
    let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
    // Where the next `write` to a file descriptor goes.
    let mut places: HashMap<u32, u64> = HashMap::new();
    let mut count = 0;
    for (index, line) in log.lines().enumerate() {
        count = index + 1;
        let at = first + index;
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        let (start, whole) = if let Some(text) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (at, text));
            continue;
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let Some((start, before)) = begun.remove(thread) else { continue };
            let rest = rest.split_once(" resumed>").map_or("", |(_, rest)| rest);
            (start, format!("{before}{rest}"))
        } else {
            (at, text.to_owned())
        };
        if let Some(call) = parse(&whole, root, &mut places) {
            events.push(Event { start, end: at, unsure: whole.ends_with("= ?"), call });
        }
    }
    for (start, text) in begun.into_values() {
        if let Some(call) = parse(&format!("{text}) = ?"), root, &mut places) {
            events.push(Event { start, end: usize::MAX, unsure: true, call });
        }
    }
    events.sort_by_key(|event| event.start);
    (events, count)
}

fn parse(text: &str, root: &Path, places: &mut HashMap<u32, u64>) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    // Refused, or a sync that did not end before the process did. What was being written then
    // may have been written.
    let failed = result.contains(" EIO ") && name.contains("sync");
    if (result.starts_with('-') && !failed) || (result.trim() == "?" && name.contains("sync")) {
        return None;
    }
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let number = |index: usize| arguments.get(index)?.parse::<u64>().ok();
    let call = match name {
        "open" | "creat" | "openat" => {
            let (path, flags) = match name {
                "openat" => (below(arguments[0], arguments[1]), arguments[2]),
                "open" => (text_of(arguments[0])?.into(), arguments[1]),
                _ => (text_of(arguments[0])?.into(), "O_WRONLY|O_CREAT|O_TRUNC"),
            };
            if let Some(fd) = result.split('<').next().and_then(|fd| fd.trim().parse().ok()) {
                places.insert(fd, 0);
            }
            let flag = |name| flags.split('|').any(|flag| flag == name);
            assert!(!flag("O_APPEND") || !path.starts_with(root), "no model of O_APPEND: {text}");
            if !flag("O_CREAT") && !flag("O_TRUNC") {
                return None;
            }
            Call::Open { path, create: flag("O_CREAT"), truncate: flag("O_TRUNC") }
        }
        "lseek" => {
            let (fd, _) = descriptor(arguments[0])?;
            places.insert(fd, result.trim().parse().ok()?);
            return None;
        }
        "write" | "pwrite64" => {
            let (fd, path) = descriptor(arguments[0])?;
            let is_ours = path.starts_with(root);
            if fd != 1 && !is_ours {
                return None;
            }
            let mut data = bytes_of(arguments[1])?;
            if let Ok(written) = result.trim().parse::<usize>() {
                data.truncate(written);
            }
            if !is_ours {
                return Some(Call::Say { text: String::from_utf8_lossy(&data).into_owned() });
            }
            let at = match number(3) {
                Some(at) => at,
                None => {
                    let place = places.entry(fd).or_default();
                    *place += data.len() as u64;
                    *place - data.len() as u64
                }
            };
            Call::Write { path, at, data }
        }
        "ftruncate" => Call::Length { path: descriptor(arguments[0])?.1, length: number(1)? },
        "fallocate" => {
            let (_, path) = descriptor(arguments[0])?;
            assert_eq!(arguments[1], "0", "no model of this kind of fallocate: {text}");
            Call::Reserve { path, length: number(2)? + number(3)? }
        }
        "fsync" | "fdatasync" if failed => Call::SyncFailed { path: descriptor(arguments[0])?.1 },
        "fsync" | "fdatasync" => Call::Sync { path: descriptor(arguments[0])?.1 },
        "rename" => {
            Call::Rename { from: text_of(arguments[0])?.into(), to: text_of(arguments[1])?.into() }
        }
        "renameat" | "renameat2" => Call::Rename {
            from: below(arguments[0], arguments[1]),
            to: below(arguments[2], arguments[3]),
        },
        "unlink" | "rmdir" => Call::Remove { path: text_of(arguments[0])?.into() },
        "unlinkat" => Call::Remove { path: below(arguments[0], arguments[1]) },
        "mkdir" => Call::MakeDir { path: text_of(arguments[0])?.into() },
        "mkdirat" => Call::MakeDir { path: below(arguments[0], arguments[1]) },
        "mmap" => {
            let shared = text.contains("MAP_SHARED") && text.contains("PROT_WRITE");
            let of = arguments.get(4).and_then(|fd| descriptor(fd));
            let ours = of.is_some_and(|(_, path)| path.starts_with(root));
            assert!(!(shared && ours), "no model of a shared mapping: {text}");
            return None;
        }
        other => {
            let (_, path) = descriptor(arguments[0]).unwrap_or_default();
            assert!(!path.starts_with(root), "no model of {other}: {}", &text[..200]);
            return None;
        }
    };
    match call.path() {
        Some(path) => path.starts_with(root).then_some(call),
        None => Some(call),
    }
}

/// `5<\x2f…>`: number and path. The path of a file that is gone has a remark behind it, and so
/// belongs to nothing that a crash could leave.
fn descriptor(text: &str) -> Option<(u32, PathBuf)> {
    let (fd, rest) = text.split_once('<')?;
    let (path, remark) = rest.rsplit_once('>')?;
    let path = if remark.is_empty() { unescape(path)? } else { Vec::new() };
    Some((fd.parse().ok()?, String::from_utf8(path).ok()?.into()))
}

/// A path relative to a directory such as `AT_FDCWD<\x2f…>`.
fn below(directory: &str, path: &str) -> PathBuf {
    let path = text_of(path).unwrap_or_default();
    let base = directory.split_once('<').and_then(|(_, base)| unescape(base.strip_suffix('>')?));
    let base = base.and_then(|base| String::from_utf8(base).ok()).unwrap_or_default();
    Path::new(&base).join(path)
}

fn text_of(quoted: &str) -> Option<String> {
    String::from_utf8(bytes_of(quoted)?).ok()
}

fn bytes_of(quoted: &str) -> Option<Vec<u8>> {
    assert!(!quoted.ends_with("..."), "strace shortened what was written");
    unescape(quoted.strip_prefix('"')?.strip_suffix('"')?)
}

/// Bytes of `\x41\x42…`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let escapes = text.as_bytes().chunks(4);
    escapes
        .map(|escape| match escape {
            [b'\\', b'x', high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[test]
fn a_log_of_strace_is_read() {
    let log = concat!(
        r#"7 openat(AT_FDCWD<\x2f>, "\x2f\x64\x2f\x61", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 5<\x2f\x64\x2f\x61>"#,
        "\n",
        r#"7 write(5<\x2f\x64\x2f\x61>, "\x41\x42", 2) = 2"#,
        "\n",
        r#"7 write(5<\x2f\x64\x2f\x61>, "\x43", 1 <unfinished ...>"#,
        "\n",
        r#"8 fsync(5<\x2f\x64\x2f\x61>) = 0"#,
        "\n",
        r#"7 <... write resumed>) = 1"#,
        "\n",
        r#"8 unlink("\x2f\x65\x2f\x61") = 0"#,
        "\n",
        r#"8 write(1<\x70\x69\x70\x65>, "\x41", 1) = 1"#,
        "\n",
    );
    let (events, lines) = read(log, Path::new("/d"), 10);
    assert_eq!(lines, 7);
    let path = PathBuf::from("/d/a");
    let seen: Vec<_> =
        events.into_iter().map(|event| (event.start, event.end, event.call)).collect();
    let write = |at, data: &[u8]| Call::Write { path: path.clone(), at, data: data.to_vec() };
    assert_eq!(
        seen,
        [
            (10, 10, Call::Open { path: path.clone(), create: true, truncate: false }),
            (11, 11, write(0, b"AB")),
            (12, 14, write(2, b"C")),
            (13, 13, Call::Sync { path: path.clone() }),
            (16, 16, Call::Say { text: "A".into() }),
        ]
    );
}
