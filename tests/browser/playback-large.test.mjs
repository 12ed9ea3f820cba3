// A page with 100,000 edits under its slider, as the real server has it: how soon it can be used, how long a seek takes,
// and that it goes on while somebody writes.
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, it } from 'node:test'
import { seeded } from '../js/support/clock.mjs'
import { startBrowser } from './harness/browser.mjs'
import { long, slowness, until } from './harness/processes.mjs'
import { largePage, startServer } from './harness/server.mjs'
import { limit } from './harness/wiki.mjs'

/** @typedef {import('playwright-core').Page} Page */

/** Edits and UTF-16 units of the pages. The second is the largest that there can be, and takes minutes to make. */
const PAGES = process.env.TEST_EDITS
  ? [{ edits: Number(process.env.TEST_EDITS), units: Number(process.env.TEST_UNITS ?? 100_000) }]
  : [{ edits: 100_000, units: 100_000 }, ...(long ? [{ edits: 200_000, units: 950_000 }] : [])]
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
/** What is promised, in ms. */
const OPEN_MS = 1000
const SEEK_MS = 200
const SEEKS = 50

/** The playback's own doors. @param {Page} page @returns {Promise<number>} */
const at = (page) => page.evaluate(() => /** @type {any} */ (document.querySelector('#life')).halley.rev)

/** @param {Page} page @returns {Promise<number>} */
const head = (page) => page.locator('#life-at').evaluate((slider) => Number(/** @type {HTMLInputElement} */ (slider).max))

/** @param {Page} page @returns {Promise<string>} */
const shownText = (page) => page.evaluate(() => /** @type {any} */ (document.querySelector('#life')).halley.view.state.doc.toString())

/** @param {number[]} all @param {number} share */
const percentile = (all, share) => [...all].sort((a, b) => a - b)[Math.floor((all.length - 1) * share)]

/** @param {number[]} all */
const figures = (all) => `median ${percentile(all, 0.5).toFixed(0)} ms, worst ${percentile(all, 1).toFixed(0)} ms (n ${all.length})`

for (const { edits: EDITS, units: UNITS } of PAGES)
  describe(`a page with a life of ${EDITS.toLocaleString('en')} edits`, () => {
  /** @type {Awaited<ReturnType<typeof startServer>>} */
  let server
  /** @type {Awaited<ReturnType<typeof startBrowser>>} */
  let people
  before(async () => {
    const data = await largePage({ edits: EDITS, units: UNITS, seed: SEED })
    server = await startServer({ data })
    people = await startBrowser()
  })
  afterEach(() => people.leave())
  after(async () => {
    await people?.close()
    await server?.stop()
  })

  /** Somebody opens the page's life; when its slider could be used, in ms since they went there. */
  async function open() {
    const person = await people.person(server.url)
    const page = await person.context.newPage()
    await page.addInitScript(() => {
      const look = () => {
        const life = /** @type {any} */ (document.querySelector('#life'))
        // Drawn too: the text is there, and its colours.
        if (life?.halley && !life.hidden && document.querySelector('#life-text .who')) {
          requestAnimationFrame(() => setTimeout(() => (/** @type {any} */ (window).usable = performance.now())))
        } else requestAnimationFrame(look)
      }
      requestAnimationFrame(look)
    })
    await page.goto('/playback/Large')
    const usable = await (await page.waitForFunction(() => /** @type {any} */ (window).usable)).jsonValue()
    return { page, usable }
  }

  it('opens its slider within a second, also when nobody has asked for it before', limit(300), async (context) => {
    context.diagnostic(`SEED=${SEED} edits: ${EDITS}, units: ${UNITS}`)
    const times = []
    for (let i = 0; i < 5; i += 1) {
      const { page, usable } = await open()
      times.push(usable)
      assert.equal(await head(page), EDITS)
      const [timeline] = await page.evaluate(() => {
        const all = /** @type {PerformanceResourceTiming[]} */ (performance.getEntriesByType('resource'))
        return all
          .filter(({ name }) => /\/pages\/\d+\/timeline$/.test(name))
          .map(({ requestStart, responseStart, responseEnd, encodedBodySize, decodedBodySize }) => ({ requestStart, responseStart, responseEnd, encodedBodySize, decodedBodySize }))
      })
      context.diagnostic(
        `usable after ${usable.toFixed(0)} ms; asked for at ${timeline.requestStart.toFixed(0)}, there from ${timeline.responseStart.toFixed(0)} to ${timeline.responseEnd.toFixed(0)} ms, ${timeline.encodedBodySize} bytes of ${timeline.decodedBodySize}`,
      )
      await people.leave()
    }
    // The first one waits for the server as well, which has just started and works the life out. Any may be held up by
    // whatever else this machine does.
    context.diagnostic(`the slider can be used: ${figures(times)}, the first one ${times[0].toFixed(0)} ms`)
    assert.ok(percentile(times, 0.5) < OPEN_MS * slowness, figures(times))
  })

  it('seeks anywhere in a fifth of a second, to the text that was there', limit(300), async (context) => {
    const random = seeded(SEED)
    const { page } = await open()
    const took = []
    for (let i = 0; i < SEEKS; i += 1) {
      const rev = Math.floor(random() * (EDITS + 1))
      took.push(await page.evaluate(async (rev) => {
        const life = /** @type {any} */ (document.querySelector('#life'))
        const begun = performance.now()
        life.halley.go(rev)
        // Until it has been drawn.
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
        return performance.now() - begun
      }, rev))
      assert.equal(await at(page), rev)
      // The server makes that text from the log, and not from the timeline.
      const raw = rev === 0 ? '' : await (await fetch(`${server.url}/raw/Large?rev=${rev}`)).text()
      assert.ok((await shownText(page)) === raw, `the text at ${rev}, SEED=${SEED}`)
    }
    context.diagnostic(`a seek until it is drawn: ${figures(took)}`)
    assert.ok(percentile(took, 1) < SEEK_MS * slowness, figures(took))
    const elements = await page.locator('#life-text *').count()
    assert.ok(elements < 4000, `${elements} elements: only what is seen is drawn`)
  })

  it('goes on playing, and knows what is new, while somebody writes', limit(300), async (context) => {
    const { page } = await open()
    await until(() => page.locator('#live-status[data-state="live"]').count().then((n) => n > 0), { what: 'it is live' })
    const writer = await (await people.person(server.url)).edit('Large')
    await page.evaluate((rev) => {
      const life = /** @type {any} */ (document.querySelector('#life'))
      life.halley.go(rev)
      const seen = /** @type {number[]} */ (/** @type {any} */ (window).seen = [])
      const frames = /** @type {number[]} */ (/** @type {any} */ (window).frames = [])
      let last = performance.now()
      const look = (/** @type {number} */ now) => {
        frames.push(now - last)
        last = now
        seen.push(life.halley.rev)
        requestAnimationFrame(look)
      }
      requestAnimationFrame(look)
    }, Math.floor(EDITS / 2))
    await page.locator('#life-play').click()
    await writer.placeCaret('end')
    await writer.type(' and what is written now')
    await writer.saved()
    const newest = await server.revision('Large')
    assert.ok(newest > EDITS)
    await until(async () => (await head(page)) >= newest, { seconds: 20 * slowness, what: 'the slider has what is new' })
    const { seen, frames } = await page.evaluate(() => ({ seen: /** @type {any} */ (window).seen, frames: /** @type {any} */ (window).frames }))
    assert.equal(await page.locator('#life-play').getAttribute('aria-label'), 'Pause', 'it still plays')
    assert.ok(seen.every((/** @type {number} */ rev, /** @type {number} */ i) => i === 0 || rev >= seen[i - 1]), 'it never jumps back')
    assert.ok(seen.at(-1) > seen[0] && seen.at(-1) < EDITS, `it has come from ${seen[0]} to ${seen.at(-1)}`)
    context.diagnostic(`frames while it plays and grows: ${figures(frames)}`)
    // Whoever follows has it at once.
    await page.locator('#life-play').click()
    await page.keyboard.press('End')
    await until(async () => (await at(page)) >= newest)
    assert.ok((await shownText(page)).includes('and what is written now'))
    assert.equal(await shownText(page), await server.raw('Large'))
  })
})
