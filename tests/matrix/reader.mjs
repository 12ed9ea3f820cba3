// Somebody who reads a page: the shipped live connection and the shipped blocks, over a page of hashes.
import { createBlocks } from '../../static/js/page/blocks.js'
import { Tab } from './browser.mjs'

/** As much of an element as blocks touch. */
class Block {
  /** @param {string} [hash] @param {number} [lines] */
  constructor(hash = '', lines = 0) {
    /** @type {Record<string, string>} */
    this.dataset = { hash, lines: String(lines) }
    this.innerHTML = ''
    this.className = 'block'
    this.classList = { contains: (/** @type {string} */ name) => name === this.className, add() {}, remove() {} }
    /** @type {Article | null} */
    this.parent = null
  }

  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((child) => child !== this)
  }
}

class Article {
  constructor() {
    /** @type {Block[]} */
    this.children = []
  }

  /** @param {Block} block @param {Block | null} before */
  insertBefore(block, before) {
    block.remove()
    block.parent = this
    const at = before ? this.children.indexOf(before) : this.children.length
    if (at < 0) throw new Error('the reference node is not a child')
    this.children.splice(at, 0, block)
  }
}

// The one thing that blocks ask of the page around them.
const fakes = /** @type {any} */ (globalThis)
fakes.document ??= { createElement: () => new Block() }

export class Reader extends Tab {
  /** @param {string} path */
  async open(path) {
    const { browser } = this
    this.openedAt = Date.now()
    const { cursor, page, rev, blocks } = await browser.page(`/wiki/${encodeURIComponent(path)}`)
    this.page = page
    this.pageRev = rev
    const article = new Article()
    for (const { hash, lines } of blocks) article.insertBefore(new Block(hash, lines), null)
    this.article = article
    this.resyncs = 0
    this.connect({ cursor, topics: [`view:${page}`, `here:${page}`, 'site'] })
    this.blocks = createBlocks(/** @type {any} */ (article), {
      rev,
      keepPosition: false,
      glow: false,
      base: `${browser.url}/_live`,
      fetch: browser.fetch,
    })
    const topic = `view:${page}`
    this.live.on('event', (event) => {
      if (event.topic !== topic || event.kind !== 'changed') return
      for (const { html } of event.data.blocks) this.find(html)
      if (!this.blocks?.apply(event.data)) void this.resync()
    })
    this.live.on('reset', () => this.resync())
    this.live.beat({ page, mode: 'reading', caret: null })
    this.live.start()
  }

  resync() {
    this.resyncs = (this.resyncs ?? 0) + 1
    return /** @type {NonNullable<typeof this.blocks>} */ (this.blocks).resync(/** @type {number} */ (this.page))
  }

  /** What is on the page, as the server names it. */
  hashes() {
    return this.article?.children.map((block) => block.dataset.hash).join(' ') ?? ''
  }

  /** Goes away; `open` again is a reload. */
  leave() {
    this.live.stop()
  }

  close() {
    this.live?.stop()
    this.browser.close()
  }
}
