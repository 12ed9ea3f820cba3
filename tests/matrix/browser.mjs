// One browser without a browser: cookies, six connections to a host, storage and a window to listen at; and what is
// common to everybody who has a page open in it. The page's own modules run in it as they are shipped.
import { createLive } from '../../static/js/sync/live.js'

/** Connections that browsers open to one host over HTTP/1.1. */
const CONNECTIONS = 6

/** @typedef {{ topic: string, kind: string, data: any, seq?: number }} LiveEvent */
/** @typedef {ReturnType<typeof createLive>} Live */

/** @typedef {{ dispatch(options: any, handler: any): boolean, destroy(): Promise<void> }} Dispatcher */

/** The class of what Node's own fetch sends requests with; nothing else can be told to keep to six connections. */
async function agentClass() {
  await fetch('data:,')
  const global = /** @type {any} */ (globalThis)[Symbol.for('undici.globalDispatcher.1')]
  if (!global) throw new Error("this Node hides its fetch's agent; versions 18 to 24 do not")
  return /** @type {new (options: object) => Dispatcher} */ (global.constructor)
}

const Agent = await agentClass()

/** @returns {any} a window, as far as the live connection looks at one */
function makeWindow() {
  const target = () => {
    /** @type {Map<string, Set<(event: any) => void>>} */
    const listeners = new Map()
    return {
      /** @param {string} name @param {(event: any) => void} fn */
      addEventListener: (name, fn) => void listeners.set(name, (listeners.get(name) ?? new Set()).add(fn)),
      /** @param {string} name @param {(event: any) => void} fn */
      removeEventListener: (name, fn) => void listeners.get(name)?.delete(fn),
      /** @param {string} name */
      fire: (name, event = {}) => [...(listeners.get(name) ?? [])].forEach((fn) => fn(event)),
    }
  }
  const store = () => {
    /** @type {Map<string, string>} */
    const kept = new Map()
    return {
      /** @param {string} key */
      getItem: (key) => kept.get(key) ?? null,
      /** @param {string} key @param {string} value */
      setItem: (key, value) => void kept.set(key, String(value)),
      /** @param {string} key */
      removeItem: (key) => void kept.delete(key),
    }
  }
  return {
    ...target(),
    document: { ...target(), visibilityState: 'visible' },
    location: { search: '' },
    localStorage: store(),
    sessionStorage: store(),
    navigator: {},
  }
}

export class Browser {
  /**
   * @param {string} url of the wiki, as this browser sees it
   * @param {{ random: () => number, forward?: string }} options `forward`: a proxy that is asked for everything
   */
  constructor(url, { random, forward }) {
    this.url = url
    this.random = random
    this.window = makeWindow()
    /** @type {Map<string, string>} */
    this.cookies = new Map()
    this.requests = 0
    this.bytes = 0
    this.agent = new Agent({ connections: CONNECTIONS })
    this.dispatcher = forward ? forwarded(this.agent, forward) : this.agent
    this.fetch = /** @type {typeof fetch} */ ((input, init) => this.send(String(input), init))
  }

  /** @param {string} address @param {RequestInit} init */
  async send(address, init = {}) {
    const { keepalive: _keepalive, ...rest } = init
    const headers = new Headers(init.headers)
    if (this.cookies.size > 0) headers.set('cookie', [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '))
    headers.set('origin', this.url)
    headers.set('sec-fetch-site', 'same-origin')
    this.requests += 1
    const response = await fetch(address, /** @type {any} */ ({ ...rest, headers, dispatcher: this.dispatcher }))
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (name) this.cookies.set(name.trim(), value)
    }
    return response
  }

  /**
   * Opens a page as the address bar does, again and again until it is one of the wiki's.
   * @param {string} path @param {number} [seconds]
   */
  async page(path, seconds = 60) {
    const end = Date.now() + seconds * 1000
    for (;;) {
      const html = await this.fetch(`${this.url}${path}`).then((response) => response.text(), () => '')
      const data = (/** @type {string} */ name) => new RegExp(`data-${name}="([^"]*)"`).exec(html)?.[1] ?? ''
      if (data('cursor') && data('page-id')) {
        const blocks = [...html.matchAll(/<div class="block" data-hash="([^"]*)" data-lines="(\d+)"/g)]
        return {
          cursor: data('cursor'),
          page: Number(data('page-id')),
          rev: Number(data('rev')),
          blocks: blocks.map(([, hash, lines]) => ({ hash, lines: Number(lines), html: '' })),
        }
      }
      if (Date.now() > end) throw new Error(`${path} did not open within ${seconds} s: ${html.slice(0, 200)}`)
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }

  /** What the ladder has learned here about this network, if anything. */
  verdict() {
    return JSON.parse(this.window.localStorage.getItem('halley.verdict') ?? 'null')
  }

  close() {
    void this.agent.destroy().catch(() => {})
  }
}

/**
 * Asks a proxy for whole addresses, as browsers do that are told of one.
 * @param {Dispatcher} agent @param {string} proxy
 * @returns {Dispatcher}
 */
function forwarded(agent, proxy) {
  return {
    dispatch: (options, handler) =>
      agent.dispatch(
        {
          ...options,
          origin: proxy,
          path: `${options.origin}${options.path}`,
          headers: { ...options.headers, host: new URL(String(options.origin)).host },
        },
        handler,
      ),
    destroy: () => agent.destroy(),
  }
}

/**
 * A page that somebody has open: its live connection, all that it delivered, and all that it said about itself.
 */
export class Tab {
  /**
   * @param {Browser} browser
   * @param {{ timing?: Record<string, number>, name: string }} options
   */
  constructor(browser, { timing = {}, name }) {
    this.browser = browser
    this.timing = timing
    this.name = name
    /** @type {LiveEvent[]} in the order of delivery */
    this.got = []
    /** @type {Map<string, number>} when each word of others came, ms since the epoch */
    this.seen = new Map()
    /** @type {{ at: number, says: string, reason: string }[]} */
    this.said = []
    /** @type {string[]} */
    this.problems = []
    this.resets = 0
    this.openedAt = 0
    this.connectedAt = 0
    this.cursor = ''
    /** @type {string[]} */
    this.topics = []
    this.live = /** @type {Live} */ (/** @type {unknown} */ (null))
  }

  /** @param {{ cursor: string, topics: string[], forced?: any }} options */
  connect({ cursor, topics, forced }) {
    this.cursor = cursor
    this.topics = topics
    this.connectedAt = Date.now()
    this.live = createLive({
      topics,
      cursor,
      ...(forced === undefined ? {} : { forced }),
      fetch: this.browser.fetch,
      timing: this.timing,
      random: this.browser.random,
      base: `${this.browser.url}/_live`,
      env: this.browser.window,
    })
    this.live.on('event', (event) => void this.got.push(event))
    this.live.on('reset', () => void (this.resets += 1))
    this.live.on('status', (status) => this.note(`${status.state}/${status.rung}`, status.reason))
  }

  /** @param {string} says */
  note(says, reason = '') {
    this.said.push({ at: Date.now(), says, reason })
  }

  /** @param {string} text in which words of others may stand */
  find(text) {
    for (const [word] of text.matchAll(/[a-z]\d+€/g)) if (!this.seen.has(word)) this.seen.set(word, Date.now())
  }

  /** `state/rung` of this moment. */
  says() {
    const { state, rung } = this.live.status
    return `${state}/${rung}`
  }
}
