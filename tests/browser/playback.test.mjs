// A page's life under a slider, and who wrote what, in a real browser.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromTexts, typed } from '../js/support/timeline.mjs'
import { seeded } from '../js/support/clock.mjs'
import { startPage } from './harness/authors.mjs'
import { until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {ReturnType<typeof typed>} Model */

/**
 * Writes a model's edits for real, each by its author; the model then has the authors that the wiki knows.
 * @param {{ url: string }} server @param {string} path @param {Model} model @param {{ named?: Record<number, string> }} options
 */
async function write(server, path, model, { named = {} } = {}) {
  const [first, ...edits] = model.edits
  const people = await startPage(server, path, model.authors.map(({ name }) => name), { by: first.author, text: first.changes[0].insert })
  model.authors = people.authors
  for (const { author, changes } of edits) {
    const rev = await people.write(author, changes)
    if (named[rev]) await people.name(author, named[rev])
  }
  assert.equal(people.text(), model.text(model.head), 'the model is what was written')
  assert.equal(people.revision(), model.head)
  return people
}

/** The whole text that is shown, also what is not drawn. @param {Page} page @returns {Promise<string>} */
const shownText = (page) => page.evaluate(() => /** @type {any} */ (document.querySelector('#life')).halley.view.state.doc.toString())

/** @param {Page} page */
const at = (page) => page.locator('#life-at').inputValue().then(Number)

/** Waits until a revision is shown. @param {Page} page @param {number} rev */
const shows = (page, rev) => until(async () => (await at(page)) === rev, { what: async () => `edit ${rev} was shown; it is ${await at(page)}` })

/** Colour of each drawn letter. @param {Page} page @param {string} root */
const colours = (page, root) =>
  page.evaluate((root) => {
    /** @type {(number | null)[]} */
    const found = []
    document.querySelectorAll(`${root} .cm-line`).forEach((line, i) => {
      // The line break is drawn by the lines themselves.
      if (i > 0) found.push(null)
      const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT)
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const name = node.parentElement?.closest('.who')?.className ?? ''
        const colour = /\bc(\d+)\b/.exec(name)?.[1]
        for (let n = 0; n < (node.nodeValue ?? '').length; n += 1) found.push(colour === undefined ? null : Number(colour))
      }
    })
    return found
  }, root)

/** The same by the model. @param {any} model @param {number} rev */
const modelColours = (model, rev) =>
  model.alive(rev).map((/** @type {any} */ { char, born }) => (char === '\n' ? null : model.authors[model.entries[born - 1].author].colour))

const STEPS = [
  { author: 0, at: 1_700_000_000_000, text: '# Comets\n\nA comet comes.\n' },
  { author: 1, at: 1_700_000_600_000, text: '# Comets\n\nA comet comes back.\n' },
  { author: 2, at: 1_700_090_000_000, text: '# Comets\n\nA comet comes back.\n\n- ice\n- dust\n' },
  { author: 0, at: 1_700_090_001_000, text: '# Comets\n\nA comet comes back.\n\n- ice\n- dust and more\n' },
]

describe('the playback', () => {
  const wiki = useWiki()

  /** A page written as a model says, and somebody who looks at it. @param {string} path @param {Model} model @param {Parameters<typeof write>[3]} [options] */
  async function life(path, model, options) {
    const authors = await write(wiki.server, path, model, options)
    const person = await wiki.people.person(wiki.server.url)
    return { person, authors, page: await person.context.newPage() }
  }

  it('says without JavaScript what it needs, and where the history is', limit(), async () => {
    await wiki.server.put('Plain life', 'Text.\n')
    const person = await wiki.people.person(wiki.server.url, { javaScriptEnabled: false })
    const page = await person.context.newPage()
    for (const way of ['playback', 'blame']) {
      assert.equal((await page.goto(`/${way}/Plain%20life`))?.status(), 200)
      assert.match(await page.locator('noscript').first().innerText(), /JavaScript/)
      assert.equal(await page.locator('#life').isVisible(), false)
      await page.locator('noscript a').first().click()
      await page.waitForURL('**/history/Plain%20life')
    }
    await page.goto('/wiki/Plain%20life?blame')
    assert.equal(new URL(page.url()).pathname, '/blame/Plain%20life')
  })

  it('shows every edit with its author and place, and keeps where one is over a reload', limit(90), async () => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
    const model = typed(seeded(seed), { edits: 120, whole: true })
    const { page } = await life('Typed', model, { named: { 40: 'First draft' } })
    await page.goto('/playback/Typed')
    await shows(page, model.head)
    assert.equal(await shownText(page), model.text(model.head), `seed ${seed}`)
    for (const rev of [0, 1, 17, 60, 119, 120]) {
      await page.evaluate((rev) => /** @type {any} */ (document.querySelector('#life')).halley.go(rev), rev)
      await shows(page, rev)
      assert.equal(await shownText(page), model.text(rev), `text at ${rev}, seed ${seed}`)
      if (rev > 0) assert.ok((await page.locator('#life-now').innerText()).includes(model.authors[model.entries[rev - 1].author].name))
    }
    await page.locator('#life-named').selectOption({ index: 1 })
    await shows(page, 40)
    assert.match(await page.locator('#life-now').innerText(), /First draft/)
    assert.match((await page.locator('#life-at').getAttribute('aria-valuetext')) ?? '', /^First draft, .* (wrote|removed) .*edit 40 of 120$/)
    assert.equal(await page.locator('.life-tick').getAttribute('title'), 'First draft')
    await until(async () => new URL(page.url()).searchParams.get('at') === '40', { what: 'the place is in the address' })
    await page.reload()
    await shows(page, 40)
    assert.equal(await shownText(page), model.text(40))
    const read = await page.locator('#life-read').getAttribute('href')
    const diff = await page.locator('#life-diff').getAttribute('href')
    assert.deepEqual([read, diff], ['/wiki/Typed?rev=40', '/diff/Typed?from=40&to=120'])
  })

  it('is played with keys, and speaks only once somebody stays', limit(90), async () => {
    const model = fromTexts('A comet comes back periodically.'.split('').map((_, i, all) => ({ author: i % 3, at: 1_700_000_000_000 + i * 200, text: all.slice(0, i + 1).join('') })))
    const { page } = await life('Keys', model)
    await page.goto('/playback/Keys?at=5')
    await shows(page, 5)
    for (const [key, rev] of /** @type {[string, number][]} */ ([['.', 6], ['ArrowRight', 7], [',', 6], ['ArrowLeft', 5], ['Home', 0], [',', 0], ['.', 1], ['End', 32], ['.', 32]])) {
      await page.keyboard.press(key)
      await shows(page, rev)
    }
    await until(async () => /edit 32 of 32/.test(await page.locator('#life-voice').innerText()), { what: 'it says where one has come to' })
    await page.evaluate(() => {
      const heard = /** @type {string[]} */ (/** @type {any} */ (window).heard = [])
      const voice = /** @type {Element} */ (document.querySelector('#life-voice'))
      new MutationObserver(() => {
        if (document.body.classList.contains('playing')) heard.push(voice.textContent ?? '')
      }).observe(voice, { childList: true, characterData: true, subtree: true })
    })
    await page.locator('#life-speed').selectOption('4')
    await page.locator('#life-speed').evaluate((element) => /** @type {HTMLElement} */ (element).blur())
    await page.keyboard.press(' ')
    await until(async () => (await page.locator('#life-play').getAttribute('aria-label')) === 'Pause')
    await shows(page, 32)
    await until(async () => (await page.locator('#life-play').getAttribute('aria-label')) === 'Play', { what: 'it stops at the end' })
    assert.deepEqual(await page.evaluate(() => /** @type {any} */ (window).heard), [], 'nothing is read out while it plays')
    // A press on a button with the space bar is that button's.
    await page.locator('#life-back').focus()
    await page.keyboard.press(' ')
    await shows(page, 31)
    assert.equal(await page.locator('#life-play').getAttribute('aria-label'), 'Play')
  })

  it('is left from where one is, at once, and come back to', limit(60), async () => {
    const model = fromTexts('A comet.'.split('').map((_, i, all) => ({ author: 0, at: 1_700_000_000_000 + i * 200, text: all.slice(0, i + 1).join('') })))
    const { page } = await life('Left', model)
    for (const link of ['life-read', 'life-diff', 'life-blame']) {
      await page.goto('/playback/Left?at=1')
      await shows(page, 1)
      // In one task: nothing that waits comes between.
      await page.evaluate((link) => {
        const press = (/** @type {string} */ id) => document.getElementById(id)?.click()
        for (let n = 0; n < 5; n += 1) press('life-on')
        press(link)
      }, link)
      await page.waitForURL((to) => to.pathname !== '/playback/Left')
      const { pathname, search } = new URL(page.url())
      assert.equal(pathname + search, { 'life-read': '/wiki/Left?rev=6', 'life-diff': '/diff/Left?from=6&to=8', 'life-blame': '/blame/Left?at=6' }[link])
      await page.goBack()
      await until(async () => new URL(page.url()).search === '?at=6', { what: () => `Back leads to the same edit: ${page.url()}` })
      await shows(page, 6)
    }
    // By an address, with no link that is pressed.
    await page.goto('/playback/Left?at=1')
    await shows(page, 1)
    await page.evaluate(() => {
      for (let n = 0; n < 5; n += 1) document.getElementById('life-on')?.click()
      location.href = '/wiki/Left'
    })
    await page.waitForURL('**/wiki/Left')
    await page.goBack()
    await until(async () => new URL(page.url()).search === '?at=6', { what: () => `Back leads to the same edit: ${page.url()}` })
    await shows(page, 6)
    await page.locator('#life-at').press('End')
    await until(async () => (await page.locator('#life-blame').getAttribute('href')) === '/blame/Left', { what: 'now needs no number' })
  })

  it('skips pauses unless one wants them', limit(), async () => {
    const model = fromTexts([1, 2, 3].map((n) => ({ author: 0, at: 1_700_000_000_000 + n * 3_600_000, text: 'x'.repeat(n) })))
    const { page } = await life('Pauses', model)
    // Nobody waits for hours here: the wiki's own answer, with longer pauses.
    await page.route('**/_live/pages/*/timeline', async (route) => {
      const response = await route.fetch()
      const json = await response.json()
      json.entries.at = json.entries.at.map((/** @type {number} */ at, /** @type {number} */ i) => (i === 0 ? at : 3_600_000))
      await route.fulfill({ response, json })
    })
    await page.goto('/playback/Pauses')
    await shows(page, 3)
    assert.equal(await page.locator('#life-skip').isChecked(), true)
    await page.locator('#life-play').click()
    await until(async () => (await at(page)) < 3)
    await shows(page, 3)
    await page.locator('#life-skip').uncheck()
    await page.locator('#life-play').click()
    await shows(page, 1)
    // At 16 times an hour takes nearly four minutes: some frames later it still stands.
    await page.evaluate(() => new Promise((done) => setTimeout(done, 600)))
    assert.equal(await at(page), 1)
  })

  it('offers newer edits to whoever looks at an older one, and follows for others', limit(90), async () => {
    const model = fromTexts(STEPS)
    const { page, authors } = await life('Growing', model)
    /** @type {(string | undefined)[]} */
    const asked = []
    page.on('request', (request) => {
      if (request.url().endsWith('/timeline')) asked.push(request.headers()['if-none-match'])
    })
    await page.goto('/playback/Growing')
    await shows(page, 4)
    await until(() => page.locator('#live-status[data-state="live"]').count().then((n) => n > 0), { what: 'it is live' })
    const grow = async () => {
      model.edit(1, 0, [{ from: 0, insert: '!' }])
      await authors.write(1, [{ from: 0, insert: '!' }])
    }
    await grow()
    await shows(page, 5)
    assert.equal(await shownText(page), model.text(5))
    assert.ok(asked.length > 1 && asked.slice(1).every((tag) => tag), `it asks with what it has: ${asked}`)
    await page.keyboard.press(',')
    await shows(page, 4)
    await grow()
    await page.getByRole('button', { name: 'Show the newest' }).waitFor()
    assert.equal(await at(page), 4, 'whoever looks at something is not moved')
    await page.getByRole('button', { name: 'Show the newest' }).click()
    await shows(page, 6)
    assert.equal(await shownText(page), model.text(6))
  })

  it('says that the life could not be fetched, and tries again when asked', limit(), async () => {
    const { person, page } = await life('Broken', fromTexts(STEPS))
    person.expectComplaints(/timeline/)
    let broken = true
    await page.route('**/_live/pages/*/timeline', (route) => (broken ? route.fulfill({ status: 200, body: '{"head":3}' }) : route.continue()))
    await page.goto('/playback/Broken')
    await page.locator('#life-failed').waitFor()
    broken = false
    await page.locator('#life-again').click()
    await shows(page, 4)
    assert.equal(await page.locator('#life-failed').isVisible(), false)
  })

  it('fits a phone in both themes', limit(90), async () => {
    const { page } = await life('Phone', fromTexts(STEPS))
    for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
      await page.emulateMedia({ colorScheme })
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 800 })
        for (const way of ['playback', 'blame']) {
          await page.goto(`/${way}/Phone`)
          await page.locator('#life-text .who').first().waitFor()
          const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
          assert.ok(over <= 0, `${way} at ${width} px is ${over} px too wide`)
        }
      }
    }
  })

  it('colours each character by who wrote it, with shares and with words for the caret', limit(90), async () => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
    const model = typed(seeded(seed), { edits: 90, whole: true })
    const { page } = await life('Blamed', model)
    for (const rev of [90, 45]) {
      await page.goto(`/blame/Blamed?at=${rev}`)
      await page.locator('#life-text .who').first().waitFor()
      assert.deepEqual(await colours(page, '#life-text'), modelColours(model, rev), `seed ${seed}`)
      assert.equal(await page.locator('#life-old').isVisible(), rev !== 90)
      assert.equal(await page.locator('#life-playback').getAttribute('href'), rev === 90 ? '/playback/Blamed' : `/playback/Blamed?at=${rev}`)
    }
    assert.match(await page.locator('#life-old').innerText(), /^This is revision 45 of 90\. See the newest$/)
    assert.equal(await page.locator('#life-old a').getAttribute('href'), '/blame/Blamed')
    const shares = await page.locator('.legend-share').allInnerTexts()
    assert.ok(shares.length > 0 && shares.every((share) => /%$/.test(share)), `${shares}`)
    const text = page.locator('#life-text .cm-content')
    await text.focus()
    await page.keyboard.press('Control+Home')
    await page.keyboard.press('ArrowRight')
    const first = model.alive(45)[1]
    await until(async () => (await page.locator('#life-now').innerText()).includes(model.authors[model.entries[first.born - 1].author].name), { what: 'it says who wrote the letter behind the caret' })
    await page.keyboard.type('never')
    assert.deepEqual(await colours(page, '#life-text'), modelColours(model, 45), 'nothing is written here')
    const drawn = (/** @type {string} */ which) => page.locator(`#life-text .who${which}`).evaluateAll((all) => [...new Set(all.map((one) => /\bc\d+/.exec(one.className)?.[0] ?? ''))])
    const all = await drawn('')
    await page.locator('#life-authors button').first().click()
    await until(async () => (await drawn(':not(.dim)')).length === 1, { what: 'only one author is not dimmed' })
    assert.equal((await drawn('.dim')).length, all.length - 1)
    await page.locator('#life-authors button').first().click()
    await until(async () => (await page.locator('#life-text .who.dim').count()) === 0)
  })
})

describe('who wrote what', () => {
  const wiki = useWiki()

  /** A page with these texts. @param {string} path */
  async function written(path) {
    const model = fromTexts(STEPS)
    const authors = await write(wiki.server, path, model)
    return { person: await wiki.people.person(wiki.server.url), authors, model }
  }

  it('stands in the margin of each block when asked for, is remembered, and follows what is written', limit(90), async () => {
    const { person, authors } = await written('Margins')
    const page = await person.context.newPage()
    await page.goto('/wiki/Margins')
    const toggle = page.locator('#authors-toggle')
    const names = () => page.locator('.block-authors').evaluateAll((all) => all.map((one) => [...one.querySelectorAll('b')].map((name) => name.textContent).join(' ')))
    await page.locator('.page-actions .menu summary').click()
    assert.equal(await toggle.getAttribute('aria-pressed'), 'false')
    assert.deepEqual(await names(), [])
    await toggle.click()
    await until(async () => JSON.stringify(await names()) === JSON.stringify(['Anna', 'Anna Ben', 'Chidi Anna']), { what: async () => `the margins name who wrote: ${JSON.stringify(await names())}` })
    await page.reload()
    await until(async () => (await names()).length === 3, { what: 'it is remembered' })
    await authors.write(1, [{ from: '# Comets'.length, insert: ' and their tails' }])
    await until(async () => (await names())[0] === 'Ben Anna', { seconds: 20, what: async () => `what was written since is named: ${JSON.stringify(await names())}` })
    await page.locator('.page-actions .menu summary').click()
    await toggle.click()
    assert.deepEqual(await names(), [])
  })

  it('colours the editor exactly, leaves out what is not known yet, and knows it soon', limit(90), async () => {
    const { person, model } = await written('Editing')
    const editor = await person.edit('Editing')
    const page = editor.page
    await page.locator('#authors-toggle').click()
    await page.locator('#editor .who').first().waitFor()
    assert.deepEqual(await colours(page, '#editor'), modelColours(model, 4))
    await editor.placeCaret('A comet')
    await editor.type(' of ice')
    const now = await colours(page, '#editor')
    const from = (await editor.text()).indexOf(' of ice')
    const mine = await page.evaluate(() => JSON.parse(document.body.dataset.you ?? '{}').colour)
    assert.ok(now.slice(from, from + 7).every((colour) => colour === null || colour === mine), `${now}`)
    await editor.saved()
    await until(async () => (await colours(page, '#editor'))[from + 1] === mine, { seconds: 20, what: 'what was typed has its author' })
    model.authors.push({ name: 'who types', colour: mine, handle: '' })
    model.edit(3, 0, [{ from, insert: ' of ice' }])
    assert.deepEqual(await colours(page, '#editor'), modelColours(model, model.head))
    await page.locator('#authors-toggle').click()
    assert.equal(await page.locator('#editor .who').count(), 0)
  })
})
