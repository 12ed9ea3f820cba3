// Timelines for tests: a naive model, one object per character, that people edit at random, and the columns the server
// would send of it.

/** @typedef {{ from: number, remove?: number, insert?: string }} Change in UTF-16 units */
/** @typedef {{ char: string, born: number, died: number }} Char one UTF-16 unit */

export class Model {
  /** @param {{ name: string, colour: number, handle: string }[]} authors */
  constructor(authors) {
    this.authors = authors;
    /** @type {Char[]} all that ever were, in document order */
    this.chars = [];
    /** @type {{ author: number, at: number }[]} */
    this.entries = [];
    /** @type {{ author: number, changes: Change[] }[]} what was done, for who wants to do it for real */
    this.edits = [];
    /** @type {{ rev: number, name: string }[]} */
    this.named = [];
  }

  get head() {
    return this.entries.length;
  }

  /** Positions among all of those that live. */
  living() {
    return this.chars.flatMap((char, i) => (char.died === 0 ? [i] : []));
  }

  /**
   * One edit: in the text as it is, some characters are taken and some put in.
   * @param {number} author @param {number} at ms @param {Change[]} changes from the last to the first
   */
  edit(author, at, changes) {
    this.entries.push({ author, at });
    this.edits.push({ author, changes });
    const rev = this.entries.length;
    for (const { from, remove = 0, insert = "" } of changes) {
      const living = this.living();
      for (const i of living.slice(from, from + remove)) this.chars[i].died = rev;
      const place = from < living.length ? living[from] : this.chars.length;
      this.chars.splice(place, 0, ...[...Array(insert.length).keys()].map((i) => ({ char: insert[i], born: rev, died: 0 })));
    }
  }

  /** @param {number} rev */
  alive(rev) {
    return this.chars.filter(({ born, died }) => born <= rev && (died === 0 || died > rev));
  }

  /** @param {number} rev */
  text(rev) {
    return this.alive(rev).map(({ char }) => char).join("");
  }

  /** The columns. @param {number} [page] */
  json(page = 7) {
    const spans = columns();
    /** @type {{ len: number, born: number, bornStep: number | null, died: number, diedStep: number | null, last: Char } | null} */
    let open = null;
    const close = () => {
      if (!open) return;
      spans.len.push(open.len);
      spans.born.push(open.born);
      spans.born_step.push(open.bornStep ?? 0);
      spans.died.push(open.died);
      spans.died_step.push(open.diedStep ?? 0);
    };
    for (const char of this.chars) {
      if (open) {
        /** @type {number} */
        const bornStep = char.born - open.last.born;
        const bothDead = char.died !== 0 && open.last.died !== 0;
        /** @type {number} */
        const diedStep = char.died - open.last.died;
        const bornFits = (bornStep === 0 || bornStep === 1) && (open.bornStep ?? bornStep) === bornStep;
        const diedFits = (char.died === 0 && open.last.died === 0) || (bothDead && Math.abs(diedStep) <= 1);
        if (bornFits && diedFits && (open.diedStep ?? diedStep) === diedStep) {
          open.len += 1;
          open.bornStep = bornStep;
          open.diedStep = diedStep;
          open.last = char;
          continue;
        }
      }
      close();
      open = { len: 1, born: char.born, bornStep: null, died: char.died, diedStep: null, last: char };
    }
    close();
    /** @type {number[]} */
    const author = [];
    for (const entry of this.entries) {
      if (author.at(-2) === entry.author) author[author.length - 1] += 1;
      else author.push(entry.author, 1);
    }
    const at = this.entries.map((entry, i) => (i === 0 ? entry.at : entry.at - this.entries[i - 1].at));
    return {
      page,
      head: this.head,
      authors: this.authors,
      entries: { author, at },
      text: this.chars.map(({ char }) => char).join(""),
      spans,
      named: this.named,
    };
  }
}

/** @returns {Record<"len" | "born" | "born_step" | "died" | "died_step", number[]>} */
const columns = () => ({ len: [], born: [], born_step: [], died: [], died_step: [] });

/** @param {number} count */
export function people(count) {
  const names = ["Anna", "Ben", "Chidi", "Dana", "Emre", "Fatima", "Goran", "Hanna", "Ivan", "Jun"];
  return names.slice(0, count).map((name, i) => ({ handle: `${i}`.repeat(12), name, colour: (i * 5) % 12 }));
}

/**
 * People who type words, backspace, cut and paste at random.
 * @param {() => number} random
 * @param {{ edits: number, authors?: number, start?: number, whole?: boolean }} options `whole`: no character of two units, which an edit at random could cut
 */
export function typed(random, { edits, authors = 3, start = 1_700_000_000_000, whole = false }) {
  const model = new Model(people(authors));
  const pick = (/** @type {number} */ n) => Math.floor(random() * n);
  const words = ["tail", "ice ", "orbit", whole ? "é" : "😀", "\n\n", "comet ", "ä", "- "];
  let at = start;
  let length = 0;
  const caret = Array(authors).fill(0);
  let author = 0;
  while (model.head < edits) {
    if (pick(12) === 0) author = pick(authors);
    if (pick(9) === 0) caret[author] = pick(length + 1);
    at += pick(20) === 0 ? pick(3_600_000) : pick(400) - 20;
    const place = Math.min(caret[author], length);
    const kind = pick(10);
    if (kind < 7 || length === 0) {
      const insert = kind === 0 ? words[pick(words.length)] : String.fromCharCode(97 + pick(26));
      model.edit(author, at, [{ from: place, insert }]);
      caret[author] = place + insert.length;
    } else if (kind === 7 && place > 0) {
      // Backspace, as often as there is something.
      for (let i = 0; i < 1 + pick(5) && caret[author] > 0 && model.head < edits; i += 1) {
        caret[author] = Math.min(caret[author], length) - 1;
        model.edit(author, (at += 80), [{ from: caret[author], remove: 1 }]);
        length -= 1;
      }
      length = model.living().length;
    } else if (kind === 8) {
      // Delete to the right, one by one.
      for (let i = 0; i < 1 + pick(4) && place < model.living().length && model.head < edits; i += 1) {
        model.edit(author, (at += 70), [{ from: place, remove: 1 }]);
      }
      if (place >= length) continue;
    } else {
      // A part is taken out, something goes in elsewhere, both at once.
      const from = pick(length + 1);
      const remove = Math.min(length - from, pick(12));
      model.edit(author, at, [{ from, remove, insert: words[pick(words.length)] }, { from: pick(from + 1), insert: "*" }]);
    }
    length = model.living().length;
  }
  return model;
}

/**
 * Columns of a large page without the naive model, whose cost grows with the square of the edits: everybody types at
 * their own place, and every fifth letter is taken away again.
 * @param {{ edits: number, authors?: number, burst?: number }} options `burst`: letters that one types before the next one goes on
 */
export function large({ edits, authors = 10, burst = 7 }) {
  const spans = columns();
  /** @type {number[]} */
  const author = [];
  const at = [];
  let text = "";
  for (let rev = 1; rev <= edits; ) {
    const letters = Math.min(burst, edits - rev + 1);
    const gone = letters === burst ? 2 : 0;
    const kept = letters - 2 * gone;
    const put = (/** @type {number} */ len, /** @type {number} */ born, died = 0, step = 0) => {
      if (len <= 0) return;
      spans.len.push(len);
      spans.born.push(born);
      spans.born_step.push(1);
      spans.died.push(died);
      spans.died_step.push(step);
      for (let i = 0; i < len; i += 1) text += (born + i) % 61 === 0 ? "\n" : (born + i) % 6 === 0 ? " " : String.fromCharCode(97 + ((born * 7 + i) % 26));
    };
    put(kept, rev);
    put(gone, rev + kept, rev + kept + 2 * gone - 1, -1);
    const who = Math.floor(rev / burst) % authors;
    if (author.at(-2) === who) author[author.length - 1] += letters;
    else author.push(who, letters);
    rev += letters;
  }
  for (let rev = 1; rev <= edits; rev += 1) at.push(rev === 1 ? 1_700_000_000_000 : rev % 500 === 0 ? 900_000 : 140);
  return { page: 7, head: edits, authors: people(authors), entries: { author, at }, text, spans, named: [{ rev: Math.ceil(edits / 3), name: "First draft" }] };
}

/**
 * A page that got these texts one after the other, each in one edit (where it differs from the one before).
 * @param {{ author: number, at: number, text: string }[]} steps
 * @param {number} [authors]
 */
export function fromTexts(steps, authors = 3) {
  const model = new Model(people(authors));
  let old = "";
  for (const { author, at, text } of steps) {
    let from = 0;
    while (from < Math.min(old.length, text.length) && old[from] === text[from]) from += 1;
    let tail = 0;
    while (tail < Math.min(old.length, text.length) - from && old.at(-1 - tail) === text.at(-1 - tail)) tail += 1;
    model.edit(author, at, [{ from, remove: old.length - from - tail, insert: text.slice(from, text.length - tail) }]);
    old = text;
  }
  return model;
}
