// A page's life under a slider, and who wrote what, in a real browser.
//
// TO BE REPLACED: `/_live/pages/<id>/timeline` is answered here, in `answerFor`, since the server did not have it yet
// when this was written. Once it does, let `answerFor` give the server's answer and have the pages typed by people.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromTexts, large, typed } from '../js/support/timeline.mjs'
import { seeded } from '../js/support/clock.mjs'
import { until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {{ json: any, asked: (string | null)[] }} Answer what the timeline is now, and with which tags it was asked for */

/**
 * TO BE REPLACED, see above: answers for the server.
 * @param {import('playwright-core').BrowserContext} context @param {any} json @returns {Promise<Answer>}
 */
async function answerFor(context, json) {
  /** @type {Answer} */
  const answer = { json, asked: [] }
  await context.route('**/_live/pages/*/timeline', async (route) => {
    const tag = await route.request().headerValue('If-None-Match')
    answer.asked.push(tag)
    const json = typeof answer.json === 'function' ? await answer.json() : answer.json
    const current = `"${json.head}"`
    if (tag === current) await route.fulfill({ status: 304 })
    else await route.fulfill({ json, headers: { ETag: current } })
  })
  return answer
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

  /** A page of the wiki, and somebody who is answered with a model's life. @param {string} path @param {any} json */
  async function life(path, json) {
    await wiki.server.put(path, 'Text.\n').catch(() => {})
    const person = await wiki.people.person(wiki.server.url)
    const answer = await answerFor(person.context, json)
    return { person, answer, page: await person.context.newPage() }
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
    const model = typed(seeded(seed), { edits: 120 })
    model.named = [{ rev: 40, name: 'First draft' }]
    const { page } = await life('Typed', model.json())
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
    assert.match((await page.locator('#life-at').getAttribute('aria-valuetext')) ?? '', /^First draft, .*edit 40 of 120$/)
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
    const { page } = await life('Keys', model.json())
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

  it('skips pauses unless one wants them', limit(), async () => {
    const model = fromTexts([1, 2, 3].map((n) => ({ author: 0, at: 1_700_000_000_000 + n * 3_600_000, text: 'x'.repeat(n) })))
    const { page } = await life('Pauses', model.json())
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
    const { page, answer } = await life('Growing', model.json())
    await page.goto('/playback/Growing')
    await shows(page, 4)
    await until(() => page.locator('#live-status[data-state="live"]').count().then((n) => n > 0), { what: 'it is live' })
    const other = await wiki.people.person(wiki.server.url)
    const editor = await other.edit('Growing')
    const grow = async () => {
      model.edit(1, 1_700_100_000_000 + model.head, [{ from: 0, insert: '!' }])
      answer.json = model.json()
      await editor.placeCaret('end')
      await editor.type('x')
      await editor.saved()
    }
    await grow()
    await shows(page, 5)
    assert.equal(await shownText(page), model.text(5))
    assert.ok(answer.asked.includes('"4"'), `it asks with what it has: ${answer.asked}`)
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
    await wiki.server.put('Broken', 'Text.\n')
    const person = await wiki.people.person(wiki.server.url, { allow: /timeline/ })
    let broken = true
    await person.context.route('**/_live/pages/*/timeline', (route) =>
      broken ? route.fulfill({ status: 200, body: '{"head":3}' }) : route.fulfill({ json: fromTexts(STEPS).json() }),
    )
    const page = await person.context.newPage()
    await page.goto('/playback/Broken')
    await page.locator('#life-failed').waitFor()
    broken = false
    await page.locator('#life-again').click()
    await shows(page, 4)
    assert.equal(await page.locator('#life-failed').isVisible(), false)
  })

  it('opens 100,000 edits within a second and seeks anywhere at once', limit(120), async (context) => {
    const { page } = await life('Large', large({ edits: 100_000 }))
    await page.goto('/playback/Large')
    await shows(page, 100_000)
    const opened = await page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('/timeline')).map((entry) => /** @type {PerformanceResourceTiming} */ (entry).responseEnd))
    const figures = await page.evaluate(() => {
      const { go, view } = /** @type {any} */ (document.querySelector('#life')).halley
      const took = []
      let random = 7
      for (let i = 0; i < 60; i += 1) {
        random = (random * 1103515245 + 12345) % 2147483648
        const begun = performance.now()
        go(random % 100_001)
        // Layout too: what is shown counts, not what is planned.
        void view.contentDOM.getBoundingClientRect().height
        took.push(performance.now() - begun)
      }
      took.sort((a, b) => a - b)
      return { median: took[30], worst: took[59], elements: document.querySelectorAll('#life-text *').length, letters: view.state.doc.length }
    })
    context.diagnostic(`timeline there after ${Math.round(opened[0])} ms; seek: median ${figures.median.toFixed(1)} ms, worst ${figures.worst.toFixed(1)} ms; ${figures.elements} elements`)
    assert.ok(figures.elements < 4000, `${figures.elements} elements: only what is seen is drawn`)
    assert.ok(figures.median < 50, `a seek takes ${figures.median} ms`)
  })

  it('fits a phone in both themes', limit(90), async () => {
    const { page } = await life('Phone', fromTexts(STEPS).json())
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
    const model = typed(seeded(seed), { edits: 90 })
    const { page } = await life('Blamed', model.json())
    for (const rev of [90, 45]) {
      await page.goto(`/blame/Blamed?at=${rev}`)
      await page.locator('#life-text .who').first().waitFor()
      assert.deepEqual(await colours(page, '#life-text'), modelColours(model, rev), `seed ${seed}`)
      assert.equal(await page.locator('#life-old').isVisible(), rev !== 90)
    }
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

  /** A real page with these texts, and a life that fits it, whatever is written later. @param {string} path */
  async function written(path) {
    for (const [i, { text }] of STEPS.entries()) await wiki.server.put(path, text, i === 0 ? undefined : i)
    const model = fromTexts(STEPS)
    const person = await wiki.people.person(wiki.server.url)
    const answer = await answerFor(person.context, async () => {
      // TO BE REPLACED, see above. What was written since is Ben's, and is seen in the last of its edits.
      let [rev, text, again] = [0, '', -1]
      while (rev !== again) [rev, text, again] = [await wiki.server.revision(path), await wiki.server.raw(path), await wiki.server.revision(path)]
      while (model.head < rev) {
        const old = model.text(model.head)
        let from = 0
        while (from < Math.min(old.length, text.length) && old[from] === text[from]) from += 1
        let tail = 0
        while (tail < Math.min(old.length, text.length) - from && old.at(-1 - tail) === text.at(-1 - tail)) tail += 1
        const last = model.head + 1 === rev
        model.edit(1, 1_700_200_000_000 + model.head, last ? [{ from, remove: old.length - from - tail, insert: text.slice(from, text.length - tail) }] : [])
      }
      return model.json()
    })
    return { person, answer, model }
  }

  it('stands in the margin of each block when asked for, is remembered, and follows what is written', limit(90), async () => {
    const { person } = await written('Margins')
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
    const other = await wiki.people.person(wiki.server.url)
    const editor = await other.edit('Margins')
    await editor.placeCaret('# Comets')
    await editor.type(' and their tails')
    await editor.saved()
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
    assert.ok(now.slice(from, from + 7).every((colour) => colour === null || colour === 5), `${now}`)
    await editor.saved()
    await until(async () => (await colours(page, '#editor'))[from + 1] === 5, { seconds: 20, what: 'what was typed has its author' })
    assert.deepEqual(await colours(page, '#editor'), modelColours(model, model.head))
    await page.locator('#authors-toggle').click()
    assert.equal(await page.locator('#editor .who').count(), 0)
  })
})
