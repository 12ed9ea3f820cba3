// The numbers that the server itself gives to the changes of a page, as an oracle that needs no connection: an update
// is one more than the last, a rendered change says which revision it follows.

/** @typedef {import('./browser.mjs').LiveEvent} LiveEvent */

export class Chain {
  /** @param {number} rev of the page as it was shown: the first change may follow an older one, but no newer one */
  constructor(rev) {
    this.opened = rev
    /** @type {number | null} last update */
    this.doc = null
    /** @type {number | null} revision that the last change made whole */
    this.view = null
    this.last = ''
    this.events = 0
    this.lost = 0
    this.twice = 0
    this.order = 0
    /** @type {string[]} */
    this.faults = []
  }

  /** @param {number} rev */
  begin(rev) {
    this.opened = rev
    this.doc = null
    this.view = null
    this.last = ''
  }

  /** After a reset everything is fetched anew, and the next number may be any. */
  reset() {
    this.begin(Infinity)
  }

  /** @param {LiveEvent} event */
  take(event) {
    if (event.kind === 'updated') this.update(event.data.rev)
    else if (event.kind === 'changed' && event.topic.startsWith('view:')) this.change(event)
  }

  /** @param {number} rev */
  update(rev) {
    this.events += 1
    const before = this.doc
    // Where an editor begins is told by the document that it fetches, not by the page around it.
    if (before === null) this.doc = rev
    else if (rev === before) this.fault('twice', 1, `update ${rev} again`)
    else if (rev < before) this.fault('order', 1, `update ${rev} after ${before}`)
    else if (rev > before + 1) this.fault('lost', rev - before - 1, `update ${rev} after ${before}`)
    this.doc = Math.max(rev, before ?? 0)
  }

  /** @param {LiveEvent} event */
  change(event) {
    this.events += 1
    const { was, rev, last } = event.data
    const text = JSON.stringify(event)
    if (text === this.last) this.fault('twice', 1, `change ${was} to ${rev} again`)
    this.last = text
    const before = this.view ?? this.opened
    if (this.view !== null && rev < this.view) this.fault('order', 1, `change to ${rev} after ${this.view}`)
    else if (was > before) this.fault('lost', 1, `change ${was} to ${rev} after ${before}`)
    // Of a change in several parts only the last one brings the page to its revision.
    if (last !== false) this.view = Math.max(rev, this.view ?? 0)
  }

  /** @param {'lost' | 'twice' | 'order'} kind @param {number} count @param {string} what */
  fault(kind, count, what) {
    this[kind] += count
    if (this.faults.length < 20) this.faults.push(`${kind}: ${what}`)
  }
}
