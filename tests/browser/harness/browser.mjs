// Real Chromium, and people in it: each with cookies and storage of their own.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { encodePath } from './server.mjs'
import { slowness, temporaryFolder, until } from './processes.mjs'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('playwright-core').BrowserContextOptions} ContextOptions */

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  // Windows that are covered by others must go on as they would on a screen of their own.
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
]

function executable() {
  const named = process.env.CHROMIUM
  const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable']
  const found = named ?? places.find((place) => existsSync(place))
  if (!found) throw new Error('There is no Chromium: tests/run installs one, or set CHROMIUM.')
  return found
}

const host = String.raw`http://127\.0\.0\.1:\d+`

/**
 * What Chromium says when a live request does not get through: it did not connect, was broken off, or a proxy
 * answered in the server's place. Whatever else is said fails the test, our own words above all.
 */
export const networkNoise = new RegExp(
  String.raw`^error: Failed to load resource: (net::ERR_[A-Z_]+|the server responded with a status of 50[24] \([A-Za-z ]+\)) \(${host}/_live/[^)]*\)$`,
)

/** Chromium asks for the service worker's script after the server has gone, and names no address. */
export const workerNoise = /^error: An unknown error occurred when fetching the script\. \(\)$/

/** A page that is not there yet, or not any more. @param {string} path */
export const missingNoise = (path) =>
  new RegExp(String.raw`^error: Failed to load resource: the server responded with a status of 404 \(Not Found\) \(${host}/wiki/${encodePath(path)}\)$`)

/** A beat that was on its way when its page was deleted. */
export const deletedNoise = new RegExp(
  String.raw`^error: Failed to load resource: the server responded with a status of 410 \(Gone\) \(${host}/_live/beat\)$`,
)

/** Whatever somebody who has a deleted page open sends. */
export const goneNoise = new RegExp(
  String.raw`^error: Failed to load resource: the server responded with a status of 410 \(Gone\) \(${host}/_live/[^)]*\)$`,
)

/** Any of several. @param {RegExp[]} messages */
export const anyOf = (...messages) => new RegExp(messages.map(({ source }) => source).join('|'))

/** Launches Chromium with people in it. */
export async function startBrowser() {
  const browser = await chromium.launch({ executablePath: executable(), args: flags })
  return {
    browser,
    ...party(browser),
    /** People who come and leave together; tests that run at the same time have one each. */
    party: () => party(browser),
    close: () => browser.close(),
  }
}

/** @param {import('playwright-core').Browser} browser */
function party(browser) {
  /** @type {Person[]} */
  const people = []
  return {
    /**
     * Somebody with a browser of their own.
     * @param {string} url where they know the wiki
     * @param {ContextOptions & { allow?: RegExp }} options `allow`: console messages that are expected
     */
    async person(url, { allow, ...options } = {}) {
      const context = await browser.newContext({ baseURL: url, viewport: { width: 1280, height: 800 }, ...options })
      const person = new Person(context, allow)
      people.push(person)
      return person
    },
    /**
     * Somebody whose browser keeps its storage in a folder, so that it can be closed and opened again.
     * @param {string} url @param {{ allow?: RegExp, folder?: string }} options
     */
    async keeper(url, { allow, folder = temporaryFolder('profile') } = {}) {
      const context = await chromium.launchPersistentContext(folder, {
        executablePath: executable(),
        args: flags,
        baseURL: url,
        viewport: { width: 1280, height: 800 },
      })
      const person = new Person(context, allow)
      people.push(person)
      return { person, folder }
    },
    /** Everybody leaves; what their consoles said that was not expected fails the test. */
    async leave() {
      const complaints = people.flatMap((person) => person.complaints())
      await Promise.all(people.splice(0).map((person) => person.close()))
      assert.deepEqual(complaints, [], 'consoles must be empty')
    },
  }
}

/** A browser context with its windows, and what they complained about. */
export class Person {
  /** @type {string[]} */
  #messages = []
  /** @type {RegExp | undefined} */
  #allow

  /** @param {import('playwright-core').BrowserContext} context @param {RegExp} [allow] */
  constructor(context, allow) {
    this.context = context
    this.#allow = allow
    context.on('console', (message) => {
      if (['error', 'warning', 'assert'].includes(message.type())) {
        this.#messages.push(`${message.type()}: ${message.text()} (${message.location().url})`)
      }
    })
    context.on('weberror', (error) => this.#messages.push(`exception: ${error.error().stack ?? error.error()}`))
  }

  complaints() {
    return this.#messages.filter((message) => !this.#allow?.test(message))
  }

  /** From now on these messages are expected too. @param {RegExp} allow */
  expectComplaints(allow) {
    this.#allow = this.#allow ? anyOf(this.#allow, allow) : allow
  }

  close() {
    return this.context.close()
  }

  /**
   * Opens a page of the wiki to read it.
   * @param {string} path @param {Search} search
   */
  async read(path, search = {}) {
    const page = await this.context.newPage()
    await page.goto(`/wiki/${encodePath(path)}${query(search)}`)
    return new Reader(page)
  }

  /**
   * Opens a page of the wiki to write in it, and waits until its text can be typed into.
   * @param {string} path @param {Search} search
   */
  async edit(path, search = {}) {
    const page = await this.context.newPage()
    await page.goto(`/edit/${encodePath(path)}${query(search)}`)
    const editor = new Editor(page)
    await editor.ready()
    return editor
  }
}

/** @typedef {Record<string, string | undefined>} Search parameters of a URL; undefined ones are left out */

/** @param {Search} search */
function query(search) {
  const parameters = Object.entries(search).filter(([, value]) => value !== undefined)
  return parameters.length === 0 ? '' : `?${new URLSearchParams(/** @type {[string, string][]} */ (parameters))}`
}

/** A window on a page; what reading and writing have in common. */
class Window {
  /** @param {Page} page */
  constructor(page) {
    this.page = page
  }

  /** Puts a mark into the window that a reload would wipe away. */
  async mark() {
    await this.page.evaluate(() => {
      /** @type {any} */ (window).neverReloaded = true
    })
  }

  async assertNeverReloaded() {
    assert.equal(await this.page.evaluate(() => /** @type {any} */ (window).neverReloaded), true, 'the window was reloaded')
  }

  /** What the page says about itself: rung, state and all words of the status. */
  live() {
    return this.page.evaluate(() => {
      const status = /** @type {HTMLElement | null} */ (document.querySelector('#live-status'))
      const menu = document.querySelector('#live-menu')
      return {
        rung: status?.dataset.rung ?? '',
        state: status?.dataset.state ?? '',
        text: `${status?.textContent ?? ''} ${menu?.textContent ?? ''}`.replace(/\s+/g, ' ').trim(),
      }
    })
  }

  /**
   * Waits for one of these rungs, proven: the page says so, and is live or refreshing on it.
   * @param {string[]} rungs @param {{ seconds?: number }} options
   */
  async reaches(rungs, { seconds = 5 } = {}) {
    const begun = Date.now()
    let last = await this.live()
    await until(
      async () => {
        last = await this.live()
        return rungs.includes(last.rung) && ['live', 'refreshing'].includes(last.state)
      },
      { seconds, what: () => `the rung is ${rungs.join(' or ')}; it is ${JSON.stringify(last)}` },
    )
    return { rung: last.rung, seconds: (Date.now() - begun) / 1000 }
  }

  /** @param {string} state @param {{ seconds?: number }} options */
  async becomes(state, { seconds = 5 } = {}) {
    let last = await this.live()
    await until(
      async () => {
        last = await this.live()
        return last.state === state
      },
      { seconds, what: () => `the state is ${state}; it is ${JSON.stringify(last)}` },
    )
  }

  /** The names in the list of who is here. */
  people() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll('#here [title], #here [aria-label], #here [data-name]')].map(
        (element) => element.getAttribute('data-name') ?? element.getAttribute('aria-label') ?? element.getAttribute('title') ?? '',
      ),
    )
  }
}

/** A window that reads a page. */
export class Reader extends Window {
  /** The visible text of the page. */
  text() {
    return this.page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector('#page')).innerText)
  }

  /**
   * Waits until a text is visible; the seconds it took since `begun`.
   * @param {string} text @param {{ seconds?: number, begun?: number }} options
   */
  async sees(text, { seconds = 10, begun = Date.now() } = {}) {
    const at = await this.page
      .waitForFunction(
        (wanted) => document.querySelector('#page')?.textContent?.includes(wanted) && Date.now(),
        text,
        { polling: 20, timeout: seconds * 1000 * slowness },
      )
      .then((handle) => /** @type {Promise<number>} */ (handle.jsonValue()))
      .catch(async (error) => {
        throw new Error(`'${text}' did not appear within ${seconds} s in: ${(await this.text()).slice(0, 500)}\n${error.message}`)
      })
    return (at - begun) / 1000
  }
}

/** A window that writes a page. */
export class Editor extends Window {
  /** Waits until the editor stands. */
  async ready() {
    await this.page.waitForSelector('#editor .cm-content[contenteditable="true"]', { timeout: 15_000 * slowness })
  }

  /** The whole text of the editor's document. @returns {Promise<string>} */
  text() {
    return this.page.evaluate(async () => {
      const vendor = await import(`${document.body.dataset.static}/vendor/editor.js`)
      const content = document.querySelector('#editor .cm-content')
      return vendor.EditorView.findFromDOM(content).state.doc.toString()
    })
  }

  /**
   * Puts the caret before or behind everything, at an offset, or behind the first occurrence of a text.
   * @param {'start' | 'end' | number | string} place
   */
  async placeCaret(place) {
    await this.page.evaluate(async (wanted) => {
      const vendor = await import(`${document.body.dataset.static}/vendor/editor.js`)
      const view = vendor.EditorView.findFromDOM(document.querySelector('#editor .cm-content'))
      const text = view.state.doc.toString()
      let anchor = Number(wanted)
      if (wanted === 'start') anchor = 0
      else if (wanted === 'end') anchor = text.length
      else if (typeof wanted === 'string') anchor = text.indexOf(wanted) + wanted.length
      view.focus()
      view.dispatch({ selection: { anchor }, scrollIntoView: true })
    }, place)
  }

  /**
   * Types as a person does, key by key.
   * @param {string} text @param {{ delay?: number }} options
   */
  async type(text, { delay = 15 } = {}) {
    await this.page.keyboard.type(text, { delay })
  }

  /** Types, or puts the text in as one piece. @param {string} text @param {{ paste?: boolean }} options */
  async write(text, { paste = false } = {}) {
    if (paste) await this.page.keyboard.insertText(text)
    else await this.type(text)
  }

  /** @param {string} text @param {{ seconds?: number }} options */
  async sees(text, { seconds = 10 } = {}) {
    let last = ''
    await until(async () => (last = await this.text()).includes(text), {
      seconds,
      what: () => `'${text}' appeared in the editor; it has: ${last.slice(0, 500)}`,
    })
  }

  /** What the page says about unsaved changes. */
  saveStatus() {
    return this.page.evaluate(() => (document.querySelector('#save-status')?.textContent ?? '').replace(/\s+/g, ' ').trim())
  }

  /** Waits until the page says that everything is saved. @param {{ seconds?: number }} options */
  async saved({ seconds = 10 } = {}) {
    let last = ''
    await until(
      async () => {
        last = await this.saveStatus()
        return /saved/i.test(last) && !/not saved|saving|unsaved/i.test(last)
      },
      { seconds, what: () => `everything was saved; it says '${last}'` },
    )
  }

  /**
   * Waits until the page says that what is unsent is kept in this browser, and until this text is in its store:
   * the window may be killed now.
   * @param {string} text @param {{ seconds?: number }} options
   */
  async keeps(text, { seconds = 40 } = {}) {
    let [said, kept] = ['', '']
    await until(
      async () => {
        said = await this.saveStatus()
        if (!/kept in this browser/.test(said)) return false
        kept = await this.#kept()
        return kept.includes(text)
      },
      { seconds, what: () => `'${text}' was kept in this browser; it says '${said}' and keeps '${kept}'` },
    )
  }

  /** The text that this browser has of the page without a server, as a reload would find it. @returns {Promise<string>} */
  #kept() {
    return this.page.evaluate(async () => {
      const { pageId, static: files } = document.body.dataset
      const [{ Y }, { openStore }] = await Promise.all([import(`${files}/vendor/editor.js`), import(`${files}/js/outbox/store.js`)])
      const store = await openStore(indexedDB)
      const { doc, records } = await store.load(Number(pageId))
      store.close()
      const copy = new Y.Doc()
      if (doc) Y.applyUpdate(copy, doc.state)
      for (const { flight, entries } of records) {
        if (flight) Y.applyUpdate(copy, flight.bytes)
        for (const { bytes } of entries) Y.applyUpdate(copy, bytes)
      }
      return copy.getText('body').toString()
    })
  }

  /** Names at the carets of others. */
  carets() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll('#editor .remote-caret .remote-name')].map(
        (element) => element.textContent ?? '',
      ),
    )
  }
}

/**
 * Waits until all editors and the server's Markdown say the same, and gives it.
 * @param {{ raw(path: string): Promise<string> }} server @param {string} path
 * @param {Editor[]} editors @param {{ seconds?: number }} options
 */
export async function agree(server, path, editors, { seconds = 10 } = {}) {
  /** @type {string[]} */
  let texts = []
  await until(
    async () => {
      texts = await Promise.all([server.raw(path), ...editors.map((editor) => editor.text())])
      return texts.every((text) => text === texts[0])
    },
    { seconds, every: 100, what: () => `all agreed; they say ${JSON.stringify(texts)}` },
  )
  return texts[0]
}

/** The letters of `alphabet` in the order in which they stand in a text. @param {string} text @param {RegExp} alphabet */
export const only = (text, alphabet) => [...text].filter((letter) => alphabet.test(letter)).join('')
