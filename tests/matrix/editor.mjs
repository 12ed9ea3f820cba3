// Somebody who writes: the shipped session, outbox and live connection, typing numbered words one behind the other.
import { createApi } from '../../static/js/outbox/api.js'
import { MemoryStore } from '../../static/js/outbox/store.js'
import { Session } from '../../static/js/editor/session.js'
import { Tab } from './browser.mjs'

/** After so many words a new paragraph begins, so that a change stays small. */
const PARAGRAPH = 8

export class Editor extends Tab {
  /**
   * @param {import('./browser.mjs').Browser} browser
   * @param {{ timing?: Record<string, number>, name: string, forced?: any, behind: string }} options `name`: one letter,
   *   begins its words; `behind`: the text behind which the first goes
   */
  constructor(browser, options) {
    super(browser, options)
    this.forced = options.forced
    this.behind = options.behind
    this.typed = 0
    /** @type {Map<string, number>} when each word was typed */
    this.wrote = new Map()
    // Kept by the browser, whatever becomes of its tabs.
    this.store = new MemoryStore()
    this.store.durable = true
    this.store.close = () => {}
    /** @type {Set<number>} client ids of tabs that are there */
    this.alive = new Set()
    this.session = /** @type {Session} */ (/** @type {unknown} */ (null))
  }

  /** @param {string} path */
  async open(path) {
    const { browser } = this
    this.openedAt = Date.now()
    const { cursor, page, rev } = await browser.page(`/edit/${encodeURIComponent(path)}`)
    this.page = page
    this.pageRev = rev
    this.connect({ cursor, topics: [`doc:${page}`, `view:${page}`, `here:${page}`], forced: this.forced })
    const { live } = this
    const base = browser.url
    this.session = new Session({
      page,
      path,
      client: live.client,
      api: createApi({ page, client: live.client, base, fetch: browser.fetch }),
      store: this.store,
      keeper: this.keeper(),
      newOp: () => Array.from({ length: 20 }, () => 'abcdefghijklmnopqrstuvwxyz234567'[Math.floor(browser.random() * 32)]).join(''),
      random: browser.random,
      piggyback: () => live.piggyback(),
      onBatch: (batch) => live.applyBatch(batch),
      onContact: (reached) => (reached ? live.heard() : live.failed()),
    })
    const { session } = this
    live.on('event', (event) => {
      if (event.topic === `doc:${page}`) session.event(event)
    })
    live.on('reset', () => session.resync())
    live.on('status', ({ state }) => {
      if (state === 'live' || state === 'refreshing') session.retryNow()
    })
    const report = session.report.bind(session)
    session.report = (kind, detail) => {
      this.problems.push(`reported ${kind}: ${detail}`)
      return report(kind, detail)
    }
    session.on('aside', ({ why }) => this.problems.push(`offered as a copy: ${why}`))
    session.on('document', ({ text }) => {
      this.find(text.toString())
      text.observe((/** @type {any} */ change) => {
        for (const part of change.delta) if (typeof part.insert === 'string') this.find(part.insert)
      })
    })
    live.beat({ page, mode: 'writing', caret: null })
    live.start()
    void session.start()
  }

  /** Which client ids are held by tabs that live. */
  keeper() {
    const { alive } = this
    /** @type {Set<number>} */
    const held = new Set()
    return {
      /** @param {number} _page @param {number} yjs */
      hold: async (_page, yjs) => {
        if (alive.has(yjs) && !held.has(yjs)) return false
        alive.add(yjs)
        held.add(yjs)
        return true
      },
      /** @param {number} _page @param {number} yjs */
      begin: (_page, yjs) => void (alive.add(yjs), held.add(yjs)),
      /** @param {number} _page @param {number} yjs */
      release: (_page, yjs) => void (alive.delete(yjs), held.delete(yjs)),
      close: () => held.forEach((yjs) => alive.delete(yjs)),
    }
  }

  /** Types the next word behind the last one. False: there is no document yet, or it is not whole. */
  type() {
    // Nobody types into a page that is gone.
    const { text, doc, closed } = this.session
    if (!text || !doc || closed) return false
    const whole = text.toString()
    const last = `${this.name}${this.typed}€ `
    const before = this.typed === 0 ? this.behind : last
    let at = whole.lastIndexOf(before)
    // After a reload it may still be on its way from what the browser keeps.
    if (at < 0) return false
    at += before.length + (this.typed > 0 && this.typed % PARAGRAPH === 0 ? 2 : 0)
    this.typed += 1
    const word = `${this.name}${this.typed}€`
    this.wrote.set(word, Date.now())
    this.seen.set(word, Date.now())
    doc.transact(() => text.insert(Math.min(at, whole.length), `${word} ${this.typed % PARAGRAPH === 0 ? '\n\n' : ''}`), 'person')
    return true
  }

  /** All that was typed is on the server's disk. */
  saved() {
    return this.session.genuine && this.session.outbox.unsaved === 0
  }

  text() {
    return this.session.text?.toString() ?? null
  }

  /** Goes away without a word, as a crash does; `open` again finds what it had not sent. */
  leave() {
    this.live.stop()
    this.session.stop()
  }

  close() {
    this.live?.stop()
    this.session?.stop()
    this.browser.close()
  }
}
