/**
 * A page's whole life in columns, as the server sends it: who made each edit and
 * when, and all characters that ever were, with the edits that brought and took
 * them. Any moment is made from it by one look over the spans.
 *
 * A span is characters in a row whose births, and whose deaths, are equal or
 * count up or down by one. So what lives of it at any moment is one piece of it,
 * and no character needs an object of its own.
 * @module
 */

/**
 * @typedef {object} Author
 * @property {string} handle what stands in addresses
 * @property {string} name as of their last edit
 * @property {number} colour index into the palette
 */

/** @typedef {{ rev: number, name: string }} Named */

/**
 * @typedef {object} TimelineJson as `GET /_live/pages/<id>/timeline` answers
 * @property {number} page
 * @property {number} head the newest revision; the edits are 1 to head
 * @property {Author[]} authors
 * @property {{ author: number[], at: number[] }} entries `author`: index, count, index, count, ...; `at`: ms since 1970
 *   of the first edit, then differences
 * @property {string} text all characters that ever were, in document order
 * @property {{ len: number[], born: number[], born_step: number[], died: number[], died_step: number[] }} spans `len` in
 *   UTF-16 units; character i is born at `born + i * born_step` and dies at `died + i * died_step`; died 0: it lives
 * @property {Named[]} [named]
 */

/**
 * Characters in a row by one author.
 * @typedef {object} Runs
 * @property {number} count
 * @property {Int32Array} from where each begins, with the end of the text after the last
 * @property {Int32Array} author index into the authors of each
 */

/**
 * What one edit did, in the text after it.
 * @typedef {object} Change
 * @property {{ from: number, to: number }[]} added in order, at most `MAX_PLACES`
 * @property {{ at: number, text: string }[]} removed in order, at most `MAX_PLACES`
 * @property {number} addedLength in all, in UTF-16 units
 * @property {number} removedLength in all
 * @property {number} place where to look first
 */

/** An edit in more places than these is marked in these only: nobody looks at more, and each costs an element. */
const MAX_PLACES = 200;

/** Says what does not fit together in an answer. */
export class TimelineError extends Error {}

/** @param {unknown} list @param {string} what @returns {number[]} */
function whole(list, what) {
  if (!Array.isArray(list)) throw new TimelineError(`${what} is no list`);
  for (const one of list) if (!Number.isSafeInteger(one)) throw new TimelineError(`${what} holds ${one}`);
  return list;
}

/** @type {Author} */
const SOMEBODY = { handle: "", name: "Somebody", colour: 0 };

export class Timeline {
  /**
   * @param {TimelineJson} json
   * @throws {TimelineError} when it does not fit together
   */
  constructor(json) {
    const { head, text, authors } = json ?? {};
    if (!Number.isSafeInteger(head) || head < 0) throw new TimelineError(`head is ${head}`);
    if (typeof text !== "string") throw new TimelineError("text is no text");
    if (!Array.isArray(authors)) throw new TimelineError("authors is no list");
    /** The newest revision. */
    this.head = head;
    /** @type {readonly Author[]} */
    this.authors = authors.map(({ handle, name, colour }) => ({
      handle: String(handle ?? ""),
      name: String(name ?? "") || SOMEBODY.name,
      colour: Number.isInteger(colour) && colour >= 0 && colour < 12 ? colour : 0,
    }));
    /** @type {readonly Named[]} those that exist, the oldest first */
    this.named = (json.named ?? []).filter(({ rev, name }) => Number.isSafeInteger(rev) && rev > 0 && rev <= head && typeof name === "string")
      .sort((a, b) => a.rev - b.rev);
    this.text = text;
    /** @type {Float64Array | null} the latest time so far of each revision */
    this.latest = null;

    const { author, at } = json.entries ?? {};
    /** Author of each edit; place 0 is not used. */
    this.authorOf = new Int32Array(head + 1);
    /** The last edit of the row of edits by one author that an edit belongs to. */
    this.lastOfRow = new Int32Array(head + 1);
    let rev = 1;
    const rows = whole(author, "entries.author");
    for (let i = 0; i + 1 < rows.length; i += 2) {
      const next = rev + rows[i + 1];
      if (rows[i + 1] < 0 || next > head + 1) throw new TimelineError("entries.author has more edits than the page");
      this.authorOf.fill(rows[i], rev, next);
      this.lastOfRow.fill(next - 1, rev, next);
      rev = next;
    }
    if (rev !== head + 1) throw new TimelineError("entries.author has fewer edits than the page");
    const times = whole(at, "entries.at");
    if (times.length !== head) throw new TimelineError("entries.at does not fit the edits");
    /** When each edit was made, in ms since 1970; place 0 is that of the first edit. */
    this.at = new Float64Array(head + 1);
    for (let i = 0; i < head; i += 1) this.at[i + 1] = i === 0 ? times[0] : this.at[i] + times[i];
    this.at[0] = head > 0 ? this.at[1] : 0;

    const spans = json.spans ?? {};
    const count = whole(spans.len, "spans.len").length;
    for (const name of /** @type {const} */ (["born", "born_step", "died", "died_step"])) {
      if (whole(spans[name], `spans.${name}`).length !== count) throw new TimelineError(`spans.${name} does not fit the spans`);
    }
    this.len = Int32Array.from(spans.len);
    this.born = Int32Array.from(spans.born);
    this.bornStep = Int8Array.from(spans.born_step);
    this.died = Int32Array.from(spans.died);
    this.diedStep = Int8Array.from(spans.died_step);
    /** Where each span begins in the text of all. */
    this.start = new Int32Array(count + 1);
    for (let i = 0; i < count; i += 1) {
      const last = this.born[i] + (this.len[i] - 1) * this.bornStep[i];
      if (this.len[i] < 1 || this.bornStep[i] < 0 || this.born[i] < 1 || last > head) throw new TimelineError(`span ${i} is wrong`);
      this.start[i + 1] = this.start[i] + this.len[i];
    }
    if (this.start[count] !== text.length) throw new TimelineError("the spans do not fit the text");
  }

  /** How many spans there are. */
  get spans() {
    return this.len.length;
  }

  /** @param {number} rev @returns {Author} of an edit */
  author(rev) {
    return this.authors[this.authorOf[rev]] ?? SOMEBODY;
  }

  /** A revision that exists, the nearest to this. @param {number} rev @returns {number} */
  clamp(rev) {
    return Math.min(this.head, Math.max(0, Math.round(rev) || 0));
  }

  /** @param {number} rev 0: before the first edit @returns {Moment} */
  seek(rev) {
    return new Moment(this, this.clamp(rev));
  }

  /** @param {number} rev @returns {string} */
  textAt(rev) {
    return this.seek(rev).text;
  }

  /** @param {number} rev @returns {Runs} for colours */
  spansAt(rev) {
    return this.seek(rev).runs;
  }

  /**
   * The newest revision that was there at a time. Clocks may have gone back between two edits; then the order of the
   * edits counts.
   * @param {number} ms since 1970 @returns {number} 0: none yet
   */
  revisionAtTime(ms) {
    this.latest ??= runningMaximum(this.at);
    return lastNotAfter(this.latest, ms, 0, this.head, 1);
  }

  /**
   * @param {number} over ms
   * @returns {{ before: number, ms: number }[]} pauses longer than that, by the edit that ended them
   */
  pauses(over) {
    const found = [];
    for (let rev = 2; rev <= this.head; rev += 1) {
      const ms = this.at[rev] - this.at[rev - 1];
      if (ms > over) found.push({ before: rev, ms });
    }
    return found;
  }

  /** What an edit did. @param {number} rev @returns {Change} */
  changeAt(rev) {
    const { len, born, bornStep, died, diedStep, start } = this;
    /** @type {Change} */
    const change = { added: [], removed: [], addedLength: 0, removedLength: 0, place: 0 };
    let place = -1;
    let lived = 0;
    for (let i = 0; i < len.length; i += 1) {
      const n = len[i];
      const b = born[i];
      const [from, to] = piece(n, b, bornStep[i], died[i], diedStep[i], rev);
      // Born by this edit and alive: within the piece, since what is born later is not in it.
      const first = bornStep[i] === 0 ? (b === rev ? from : to) : Math.max(from, rev - b);
      if (first < to && b + first * bornStep[i] === rev) {
        const at = lived + first - from;
        put(change.added, at, at + to - first);
        change.addedLength += to - first;
        if (place < 0) place = at;
      }
      if (died[i] !== 0) {
        // Those that die with this edit: all of the span, or one of it.
        const step = diedStep[i];
        const one = step === 0 ? -1 : (rev - died[i]) * step;
        const [gone, end] = step === 0 ? (died[i] === rev ? [0, n] : [0, 0]) : one >= 0 && one < n ? [one, one + 1] : [0, 0];
        // What one edit brought and took was never seen.
        const last = bornStep[i] === 0 ? (b < rev ? end : gone) : Math.min(end, rev - b);
        if (last > gone) {
          const at = lived + Math.min(Math.max(gone - from, 0), Math.max(0, to - from));
          take(change.removed, at, this.text.slice(start[i] + gone, start[i] + last));
          change.removedLength += last - gone;
          if (place < 0) place = at;
        }
      }
      lived += Math.max(0, to - from);
    }
    change.place = Math.max(0, place);
    return change;
  }
}

/** @param {{ from: number, to: number }[]} list @param {number} from @param {number} to */
function put(list, from, to) {
  const last = list.at(-1);
  if (last?.to === from) last.to = to;
  else if (list.length < MAX_PLACES) list.push({ from, to });
}

/** @param {{ at: number, text: string }[]} list @param {number} at @param {string} text */
function take(list, at, text) {
  const last = list.at(-1);
  if (last?.at === at) last.text += text;
  else if (list.length < MAX_PLACES) list.push({ at, text });
}

/**
 * The characters of a span that live at a revision: from the first to before the second.
 * @param {number} len @param {number} born @param {number} bornStep @param {number} died @param {number} diedStep
 * @param {number} rev @returns {[number, number]} nothing lives where the second is not larger
 */
export function piece(len, born, bornStep, died, diedStep, rev) {
  let from = 0;
  let to = bornStep === 0 ? (born <= rev ? len : 0) : Math.min(len, rev - born + 1);
  if (died !== 0) {
    if (diedStep === 0) {
      if (died <= rev) to = 0;
    } else if (diedStep > 0) from = Math.max(0, rev - died + 1);
    else to = Math.min(to, died - rev);
  }
  return [from, Math.max(from, to)];
}

/** A page at one revision. */
export class Moment {
  /** @param {Timeline} timeline @param {number} rev */
  constructor(timeline, rev) {
    this.timeline = timeline;
    this.rev = rev;
    const { len, born, bornStep, died, diedStep, start } = timeline;
    const count = len.length;
    // Pieces of spans that live now: where they begin in the text, in which span, and where in it.
    const at = new Int32Array(count + 1);
    const span = new Int32Array(count);
    const offset = new Int32Array(count);
    let pieces = 0;
    let length = 0;
    let text = "";
    // Neighbours in the text of all that both live are copied as one.
    let copyFrom = 0;
    let copyTo = 0;
    for (let i = 0; i < count; i += 1) {
      // As `piece`, without the pair it returns.
      let from = 0;
      let to = bornStep[i] === 0 ? (born[i] <= rev ? len[i] : 0) : Math.min(len[i], rev - born[i] + 1);
      if (died[i] !== 0) {
        if (diedStep[i] === 0) {
          if (died[i] <= rev) to = 0;
        } else if (diedStep[i] > 0) from = Math.max(0, rev - died[i] + 1);
        else to = Math.min(to, died[i] - rev);
      }
      if (to <= from) continue;
      at[pieces] = length;
      span[pieces] = i;
      offset[pieces] = from;
      pieces += 1;
      length += to - from;
      if (start[i] + from !== copyTo) {
        text += timeline.text.slice(copyFrom, copyTo);
        copyFrom = start[i] + from;
      }
      copyTo = start[i] + to;
    }
    text += timeline.text.slice(copyFrom, copyTo);
    at[pieces] = length;
    this.text = text;
    this.pieces = pieces;
    this.at = at;
    this.span = span;
    this.offset = offset;
    /** @type {Runs | null} */
    this.made = null;
  }

  /** Characters in a row by one author. @returns {Runs} */
  get runs() {
    this.made ??= this.makeRuns();
    return this.made;
  }

  /** @private @returns {Runs} */
  makeRuns() {
    const { born, bornStep, authorOf, lastOfRow } = this.timeline;
    /** @type {number[]} */
    const from = [];
    /** @type {number[]} */
    const author = [];
    let last = -1;
    for (let i = 0; i < this.pieces; i += 1) {
      const span = this.span[i];
      const end = this.at[i + 1];
      let at = this.at[i];
      let rev = born[span] + this.offset[i] * bornStep[span];
      while (at < end) {
        if (authorOf[rev] !== last) {
          last = authorOf[rev];
          from.push(at);
          author.push(last);
        }
        // Letters that were typed one by one may be by two people who typed in turns.
        const rest = bornStep[span] === 0 ? end - at : lastOfRow[rev] - rev + 1;
        at += rest;
        rev += rest;
      }
    }
    from.push(this.text.length);
    return { count: author.length, from: Int32Array.from(from), author: Int32Array.from(author) };
  }

  /**
   * Which edit brought a character.
   * @param {number} index of the character in the text
   * @returns {number} its revision; 0: there is no such character
   */
  born(index) {
    if (index < 0 || index >= this.text.length) return 0;
    const i = lastNotAfter(this.at, index, 0, this.pieces - 1, 0);
    const span = this.span[i];
    const { born, bornStep } = this.timeline;
    return born[span] + (this.offset[i] + index - this.at[i]) * bornStep[span];
  }

  /**
   * Who wrote a part of the text, and when last. Whitespace counts for nothing but itself: a blank line between two
   * paragraphs is nobody's share of either.
   * @param {number} from @param {number} to
   * @returns {{ author: number, chars: number, rev: number, at: number }[]} `rev`, `at`: the newest edit of each; who wrote most comes first
   */
  shares(from, to) {
    const { born, bornStep, authorOf, at: times } = this.timeline;
    /** @type {Map<number, { author: number, chars: number, rev: number, at: number }>} */
    const found = new Map();
    const end = Math.min(to, this.text.length);
    if (from >= end) return [];
    for (let i = lastNotAfter(this.at, from, 0, this.pieces - 1, 0); i < this.pieces && this.at[i] < end; i += 1) {
      const span = this.span[i];
      const stop = Math.min(end, this.at[i + 1]);
      for (let index = Math.max(from, this.at[i]); index < stop; index += 1) {
        const code = this.text.charCodeAt(index);
        if (code === 32 || (code >= 9 && code <= 13)) continue;
        const rev = born[span] + (this.offset[i] + index - this.at[i]) * bornStep[span];
        const author = authorOf[rev];
        const one = found.get(author);
        if (!one) found.set(author, { author, chars: 1, rev, at: times[rev] });
        else {
          one.chars += 1;
          if (rev > one.rev) {
            one.rev = rev;
            one.at = times[rev];
          }
        }
      }
    }
    return [...found.values()].sort((a, b) => b.chars - a.chars || b.rev - a.rev);
  }
}

/** @param {Float64Array} values */
function runningMaximum(values) {
  const made = Float64Array.from(values);
  for (let i = 1; i < made.length; i += 1) if (made[i] < made[i - 1]) made[i] = made[i - 1];
  return made;
}

/**
 * The last place whose value is not larger, by halving.
 * @param {ArrayLike<number>} values that never fall @param {number} value
 * @param {number} none what to answer when the first is larger
 * @param {number} last place @param {number} first place
 */
export function lastNotAfter(values, value, none, last, first) {
  let low = first;
  let high = last + 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low > first ? low - 1 : none;
}
