// The laboratory: what it says agrees with what this test measures by itself, and nothing of it stays.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { slowness, until } from './harness/processes.mjs'
import { startFaultProxy } from './harness/server.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

/** @typedef {import('playwright-core').Page} Page */

const COPIES = 3

/**
 * Notes, without a line of the laboratory's own code, when the field and each copy have how many visible letters: the
 * text only grows, so that is which change they show.
 */
function watchTexts() {
  const letters = (/** @type {string} */ text) => text.replace(/\s+/g, '').length
  const field = /** @type {HTMLTextAreaElement} */ (document.querySelector('#lab-text'))
  const copies = [...document.querySelectorAll('.lab-copy')]
  /** @type {{ at: number, letters: number }[][]} */
  const seen = [[], ...copies.map(() => [])]
  const note = (/** @type {number} */ i, /** @type {string} */ text) => {
    const count = letters(text)
    if (count > (seen[i].at(-1)?.letters ?? 0)) seen[i].push({ at: performance.now(), letters: count })
  }
  // A field has no event for what a script puts into it.
  const own = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value'))
  Object.defineProperty(field, 'value', {
    configurable: true,
    get: () => own.get?.call(field),
    set(text) {
      own.set?.call(field, text)
      note(0, text)
    },
  })
  copies.forEach((copy, i) => {
    new MutationObserver(() => note(i + 1, copy.textContent ?? '')).observe(copy, { childList: true, subtree: true, characterData: true })
  })
  Object.assign(window, { seen })
}

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]

/** @param {Page} page @returns {Promise<Record<string, number[]>>} the table's figures by name, for each copy */
const figuresOf = (page) =>
  page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll('#lab-figures tr[data-key]')].map((row) => [
        /** @type {HTMLElement} */ (row).dataset.key,
        [...row.querySelectorAll('td')].map((cell) => (cell.dataset.value === '' ? NaN : Number(cell.dataset.value))),
      ]),
    ),
  )

/** What the network really carried for each copy, by the browser's own account. @param {Page} page */
async function watchNetwork(page) {
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  const ways = ['mode=stream', 'mode=hold', 'mode=poll']
  const spent = ways.map(() => ({ requests: 0, bytes: 0 }))
  /** @type {Map<string, number>} */
  const copies = new Map()
  session.on('Network.requestWillBeSent', ({ requestId, request }) => {
    const copy = ways.findIndex((way) => request.url.includes(way))
    if (copy < 0 || !request.url.includes('/_live/events')) return
    copies.set(requestId, copy)
    spent[copy].requests += 1
  })
  const head = (/** @type {Record<string, string>} */ headers) =>
    Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length + 4, 30)
  /** @type {[string, number][]} */
  const early = []
  session.on('Network.requestWillBeSentExtraInfo', ({ requestId, headers }) => early.push([requestId, head(headers)]))
  session.on('Network.responseReceivedExtraInfo', ({ requestId, headers, headersText }) => early.push([requestId, headersText?.length ?? head(headers)]))
  session.on('Network.dataReceived', ({ requestId, dataLength }) => {
    const copy = copies.get(requestId)
    if (copy !== undefined) spent[copy].bytes += dataLength
  })
  return {
    take() {
      for (const [id, bytes] of early.splice(0)) {
        const copy = copies.get(id)
        if (copy !== undefined) spent[copy].bytes += bytes
      }
      return spent.map((each) => ({ ...each }))
    },
  }
}

/** @param {Page} page @param {string} id @returns {Promise<Buffer>} what the button saves */
async function saved(page, id) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(id)])
  return readFileSync(await download.path())
}

describe('laboratory', () => {
  const wiki = useWiki()

  /** @param {string} [search] */
  async function open(search = '') {
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    await page.goto(`/lab${search}`)
    await page.waitForSelector('#lab-bench:not([hidden])')
    return { anna, page }
  }

  /** @param {Page} page @param {string} state */
  const reaches = (page, state) => page.waitForSelector(`#lab[data-state="${state}"]`, limit(20))

  it('three copies of half a minute of typing: the stream is there at once, polling is late by half its interval, and both are true', limit(120), async () => {
    const { page } = await open()
    assert.match((await page.textContent('.lab-lead')) ?? '', /same page in three copies/)
    await page.evaluate(watchTexts)
    const network = await watchNetwork(page)
    await page.click('#lab-start')
    await reaches(page, 'running')
    const before = network.take()
    const samples = await page.evaluate(async () => {
      /** @type {number[][]} */
      const said = [[], [], []]
      const until = performance.now() + 30_000
      while (performance.now() < until) {
        await new Promise((done) => setTimeout(done, 50))
        document.querySelectorAll('.lab-now strong').forEach((each, i) => said[i].push(parseFloat(each.textContent ?? '')))
      }
      return said
    })
    await page.click('#lab-pause')
    await reaches(page, 'paused')
    const spent = network.take().map((each, i) => ({ requests: each.requests - before[i].requests, bytes: each.bytes - before[i].bytes }))
    const said = await figuresOf(page)
    const seen = await page.evaluate(() => /** @type {{ at: number, letters: number }[][]} */ (/** @type {any} */ (window).seen))

    // By this test's own clock and eyes.
    const measured = seen.slice(1).map((copy) => {
      /** @type {number[]} */
      const delays = []
      for (const change of seen[0]) {
        const shown = copy.find((each) => each.letters >= change.letters)
        if (shown) delays.push(shown.at - change.at)
      }
      return { delays, p50: median(delays), shows: copy.length }
    })
    const report = { said: said.p50, measured: measured.map((each) => Math.round(each.p50)), spent, requests: said.requestsPerMinute, bytes: said.bytesPerMinute, missed: said.missed, shown: said.shown, average: said.average }
    console.log(JSON.stringify(report))

    const [stream, hold, poll] = said.p50
    assert.ok(stream < 150 * slowness, `the stream's median is ${stream} ms`)
    assert.ok(hold < 300 * slowness, `the median of held requests is ${hold} ms`)
    assert.ok(poll > 1800 && poll < 3300, `the median of polling is ${poll} ms`)
    for (let i = 0; i < COPIES; i += 1) {
      assert.ok(measured[i].delays.length >= 50, `copy ${i + 1} showed ${measured[i].delays.length} changes`)
      const off = Math.abs(said.p50[i] - measured[i].p50)
      // A frame and the way to it, which only the laboratory counts.
      assert.ok(off <= 40 * slowness + 0.05 * measured[i].p50, `copy ${i + 1}: it says ${said.p50[i]} ms, and it is ${measured[i].p50} ms`)
      const minutes = 0.5
      const requests = said.requestsPerMinute[i] * minutes
      assert.ok(Math.abs(requests - spent[i].requests) <= 2 + 0.1 * spent[i].requests, `copy ${i + 1}: ${requests} requests, really ${spent[i].requests}`)
      const bytes = said.bytesPerMinute[i] * minutes
      assert.ok(Math.abs(bytes - spent[i].bytes) <= 1000 + 0.1 * spent[i].bytes, `copy ${i + 1}: ${bytes} bytes, really ${spent[i].bytes}`)
      // "Behind now" over time is the average that the table tells.
      const mean = samples[i].reduce((sum, each) => sum + each, 0) / samples[i].length
      assert.ok(Math.abs(mean * 1000 - said.average[i]) < 120 + 0.15 * said.average[i], `copy ${i + 1}: on average ${said.average[i]} ms, seen ${mean} s`)
    }
    // Half a minute of polling by 5 s shows about six states of some ninety.
    assert.ok(said.missed[2] > 10 * Math.max(1, said.missed[0]), `never seen alone: ${said.missed}`)
    assert.ok(measured[2].shows <= 8, `polling changed the screen ${measured[2].shows} times`)

    // The charts are told in words to whoever cannot see them, each 5 s.
    const told = (/** @type {string | null} */ label) => [...(label ?? '').matchAll(/: ([\d.]+) (ms|s)/g)].map(([, number, unit]) => Number(number) * (unit === 's' ? 1000 : 1))
    const inWords = { average: told(await page.getAttribute('#lab-stale', 'aria-label')), p50: told(await page.getAttribute('#lab-delays', 'aria-label')) }
    for (const [key, values] of Object.entries(inWords)) {
      assert.equal(values.length, COPIES, key)
      values.forEach((value, i) => assert.ok(Math.abs(value - said[key][i]) <= 10 + 0.4 * said[key][i], `${key} of copy ${i + 1}: in words ${value} ms, in the table ${said[key][i]} ms`))
    }

    // A pause freezes what is shown, and what is saved is what is shown.
    const csv = String(await saved(page, '#lab-save-figures'))
    const copies = () => page.locator('.lab-copy').allInnerTexts()
    const [stood, pictured] = [await copies(), await page.locator('#lab-stale').screenshot()]
    // Longer than the next poll takes.
    await page.waitForTimeout(6000)
    assert.deepEqual(await figuresOf(page), said)
    assert.deepEqual(await copies(), stood)
    assert.ok(pictured.equals(await page.locator('#lab-stale').screenshot()), 'the chart stands still')
    assert.equal(String(await saved(page, '#lab-save-figures')), csv)
    const [columns, ...lines] = csv.trimEnd().split('\r\n').map((line) => line.split(','))
    assert.equal(lines.length, COPIES)
    const keys = Object.keys(said)
    assert.equal(columns.length, 3 + keys.length)
    keys.forEach((key, at) => assert.deepEqual(lines.map((line) => (line[3 + at] === '' ? NaN : Number(line[3 + at]))), said[key], key))
    const each = String(await saved(page, '#lab-save-changes')).trimEnd().split('\r\n')
    const streamed = each.slice(1).flatMap((line) => (line.split(',')[2] === '' ? [] : [Number(line.split(',')[2])]))
    assert.equal(streamed.length, said.shown[0])
    assert.ok(Math.abs(median(streamed) - stream) < 1, `${median(streamed)} is ${stream}`)
    const picture = await saved(page, '#lab-save-picture')
    assert.deepEqual([...picture.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
    assert.ok(picture.length > 10_000 && picture.readUInt32BE(16) >= 640, `${picture.length} bytes`)

    // And on.
    await page.click('#lab-pause')
    await reaches(page, 'running')
    await until(async () => (await figuresOf(page)).shown[0] > said.shown[0] + 5, { what: 'changes are shown again' })
    assert.ok((await figuresOf(page)).max[0] < 5000, 'the pause is no delay')
    await page.click('#lab-stop')
    await reaches(page, 'ended')
  })

  it('nothing of a laboratory stays, whether it was stopped or left', limit(), async () => {
    const folder = join(wiki.server.data, 'lab')
    for (const leave of ['stop', 'close', 'go elsewhere']) {
      const { page } = await open()
      await page.click('#lab-start')
      await reaches(page, 'running')
      assert.ok(existsSync(folder), 'it has a store of its own')
      const link = (await page.getAttribute('#lab-editor', 'href')) ?? ''
      assert.match(link, /^\/edit\/Lab\//)
      assert.equal((await fetch(wiki.server.url + link)).status, 200)
      if (leave === 'stop') await page.click('#lab-stop')
      else if (leave === 'close') await page.close({ runBeforeUnload: true })
      else await page.goto('/pages')
      await until(async () => (await fetch(wiki.server.url + link)).status === 404, { what: `the page is gone after: ${leave}` })
      await until(() => !existsSync(folder), { what: `the store is gone after: ${leave}` })
      const { pages } = await (await fetch(`${wiki.server.url}/api/v1/pages`)).json()
      assert.ok(!pages.some((/** @type {{ path: string }} */ each) => each.path.startsWith('Lab/')))
    }
  })

  it('a laboratory that is stopped while it opens is given back, and no way can be chosen meanwhile', limit(), async () => {
    const { page } = await open()
    let answer = () => {}
    const gate = new Promise((done) => void (answer = () => done(null)))
    let opened = ''
    await page.route('**/lab', async (route) => {
      if (route.request().method() !== 'POST') return route.continue()
      const response = await route.fetch()
      opened = (await response.json()).path
      await gate
      await route.fulfill({ response })
    })
    await page.click('#lab-start')
    await reaches(page, 'starting')
    assert.ok(await page.isDisabled('#lab-way-1'), 'the way of a copy that is being opened')
    await until(() => opened !== '', { what: 'the server has opened it' })
    await page.click('#lab-stop')
    await reaches(page, 'ended')
    assert.ok(await page.isEnabled('#lab-way-1'))
    answer()
    const link = `${wiki.server.url}/edit/${opened}`
    await until(async () => (await fetch(link)).status === 404, { what: 'it is given back' })
    assert.ok(!(await page.isVisible('#lab-editor')), 'there is nothing to edit')
    assert.equal(await page.getAttribute('#lab', 'data-state'), 'ended')
  })

  it('a third laboratory of one browser is refused in a sentence, and comes when there is room', limit(), async () => {
    const { anna, page } = await open()
    const [second, third] = [await anna.context.newPage(), await anna.context.newPage()]
    for (const each of [second, third]) {
      await each.goto('/lab')
      await each.waitForSelector('#lab-bench:not([hidden])')
    }
    anna.expectComplaints(/429 \(Too Many Requests\)|the laboratory could not begin/)
    for (const each of [page, second]) {
      await each.click('#lab-start')
      await reaches(each, 'running')
    }
    await third.click('#lab-start')
    await third.getByText('You have two laboratories open already.').waitFor()
    assert.equal(await third.getAttribute('#lab', 'data-state'), 'ended')
    await second.close({ runBeforeUnload: true })
    await until(
      async () => {
        await third.click('#lab-start')
        return third.waitForSelector('#lab[data-state="running"]', { timeout: 3000 }).then(() => true, () => false)
      },
      { seconds: 20, what: 'the third begins' },
    )
  })

  it('a page of the wiki is watched while somebody writes it in the real editor, and the way of a copy can be changed', limit(), async () => {
    await wiki.server.put('Team/Handbook', '# Handbook\n\nHello.\n')
    const { anna, page } = await open('?page=Team/Handbook')
    assert.equal(await page.locator('#lab-text').count(), 0, 'nothing types into a page of the wiki')
    await page.selectOption('#lab-way-2', 'poll-1')
    await page.click('#lab-start')
    await reaches(page, 'running')
    await page.locator('.lab-copy', { hasText: 'Hello.' }).nth(2).waitFor()
    const editor = await anna.edit('Team/Handbook')
    await editor.placeCaret('end')
    // Over several polls: of the few changes of one the median may be that of a stream.
    await editor.type('Written in another tab, and long enough for several polls of a second to come.', { delay: 60 })
    await until(async () => (await figuresOf(page)).shown.every((count) => count >= 20), { what: async () => `all copies have shown changes: ${JSON.stringify(await figuresOf(page))}` })
    const { p50 } = await figuresOf(page)
    assert.ok(p50[2] > p50[0], `a stream is before a poll: ${p50}`)
    await page.selectOption('#lab-way-1', 'poll-2')
    await page.locator('.lab-c1 .lab-state', { hasText: 'Refreshed every 2 s' }).waitFor()
    await until(async () => (await figuresOf(page)).shown[1] === 0, { what: 'a copy that goes on by another way begins anew' })
    assert.ok((await figuresOf(page)).shown[0] > 0, 'the others go on')
    await page.click('#lab-stop')
    assert.ok((await wiki.server.raw('Team/Handbook')).includes('Written in another tab,'))
  })

  it('whoever types in the field takes over, and it counts', limit(), async () => {
    const { page } = await open()
    await page.click('#lab-start')
    await reaches(page, 'running')
    await page.locator('.lab-copy', { hasText: 'Ed' }).first().waitFor()
    await page.locator('#lab-text').click()
    await page.keyboard.press('Control+Home')
    await page.keyboard.type('Mine! ', { delay: 30 })
    assert.ok(await page.isChecked('#lab-self'))
    await page.locator('.lab-copy', { hasText: 'Mine! Ed' }).nth(1).waitFor()
    let shown = [0]
    await until(async () => ({ shown } = await figuresOf(page)).shown[0] >= 6, { what: () => `six keys are counted: ${shown}` })
    await page.click('#lab-stop')
  })

  it('what somebody else writes into the text is shown and counted as well', limit(), async () => {
    const { anna, page } = await open()
    await page.click('#lab-self')
    await page.click('#lab-start')
    await reaches(page, 'running')
    const path = decodeURIComponent(((await page.getAttribute('#lab-editor', 'href')) ?? '').replace('/edit/', ''))
    const editor = await anna.edit(path)
    await editor.placeCaret('end')
    await editor.type('From elsewhere', { delay: 80 })
    await page.waitForFunction(() => /** @type {HTMLTextAreaElement} */ (document.querySelector('#lab-text')).value === 'From elsewhere')
    await until(async () => (await figuresOf(page)).shown.every((count) => count >= 5), { what: async () => `they are counted: ${(await figuresOf(page)).shown}` })
    const { p50 } = await figuresOf(page)
    assert.ok(p50[2] > 500 && p50[0] < 500, `${p50}`)
    await editor.page.close()
    await page.click('#lab-stop')
  })

  it('a run ends by itself when its time is over', limit(), async () => {
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    await page.route('**/lab', async (route) => {
      if (route.request().method() !== 'GET') return route.continue()
      const response = await route.fetch()
      await route.fulfill({ response, body: (await response.text()).replace('data-minutes="10"', 'data-minutes="0.05"') })
    })
    await page.goto('/lab')
    await page.click('#lab-start')
    await reaches(page, 'ended')
    assert.match((await page.textContent('#lab-message')) ?? '', /The run is over/)
    await until(() => !existsSync(join(wiki.server.data, 'lab')), { what: 'nothing of it is left' })
    await page.click('#lab-start')
    await reaches(page, 'running')
    await page.click('#lab-stop')
  })

  it('a server that restarts has given the laboratory up, and another one can be started', limit(), async () => {
    const { anna, page } = await open()
    await page.click('#lab-start')
    await reaches(page, 'running')
    anna.expectComplaints(/_live\/|ERR_|network|404/)
    await wiki.server.kill()
    await wiki.server.start()
    await page.waitForSelector('#lab[data-state="ended"]', limit(40))
    assert.match((await page.textContent('#lab-message')) ?? '', /given this laboratory up/)
    assert.ok(!existsSync(join(wiki.server.data, 'lab')), 'what the crash left is gone')
    await page.click('#lab-start')
    await reaches(page, 'running')
    await page.click('#lab-stop')
  })

  it('everything has a name, and the charts have a table that says the same', limit(), async () => {
    const { page } = await open()
    await page.click('#lab-start')
    await reaches(page, 'running')
    await page.locator('#lab-figures tr[data-key="average"] td:not([data-value=""])').nth(2).waitFor()
    const nameless = await page.evaluate(() => {
      const named = (/** @type {Element} */ each) =>
        each.getAttribute('aria-label') || /** @type {any} */ (each).labels?.length > 0 || each.textContent?.trim() !== ''
      return [...document.querySelectorAll('#lab :is(button, select, input, textarea, a[href], [tabindex], [role="img"])')]
        .filter((each) => !named(each))
        .map((each) => each.outerHTML.slice(0, 120))
    })
    assert.deepEqual(nameless, [])
    assert.match((await page.getAttribute('#lab-stale', 'aria-label')) ?? '', /On average Stream: \d/)
    assert.equal(await page.locator('#lab-figures caption').count(), 1)
    assert.equal(await page.locator('#lab-figures thead th[scope="col"]').count(), COPIES)
    // By the keyboard alone.
    await page.locator('#lab-pause').focus()
    await page.keyboard.press('Enter')
    await reaches(page, 'paused')
    assert.match((await page.textContent('#lab-message')) ?? '', /Paused/)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await reaches(page, 'ended')
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'lab-start')
  })

  it('a way that the network does not let through is told from a server that is away', limit(), async () => {
    const proxy = await startFaultProxy(wiki.server.port, 'mute')
    try {
      const anna = await wiki.people.person(proxy.url)
      const page = await anna.context.newPage()
      await page.goto('/lab')
      await page.click('#lab-start')
      await reaches(page, 'running')
      await page.locator('.lab-c0 .lab-note', { hasText: 'This network does not let this way through.' }).waitFor()
      await until(async () => (await figuresOf(page)).shown[2] > 0, { what: 'polling goes on' })
      assert.equal((await figuresOf(page)).shown[0], 0)
      await page.click('#lab-stop')
      await anna.close()
    } finally {
      await proxy.stop()
    }
  })

  it('the menu of a page that is live leads here', limit(), async () => {
    await wiki.server.put('Start', 'Hello.')
    const anna = await wiki.people.person(wiki.server.url)
    const { page } = await anna.read('Start')
    await page.click('#live-menu summary')
    await page.getByRole('link', { name: 'Compare in the laboratory' }).click()
    await page.waitForSelector('#lab-start')
  })

  it('without JavaScript a sentence says why there is nothing', limit(), async () => {
    const anna = await wiki.people.person(wiki.server.url, { javaScriptEnabled: false })
    const page = await anna.context.newPage()
    await page.goto('/lab')
    assert.match((await page.textContent('main')) ?? '', /needs JavaScript/)
    assert.ok(!(await page.isVisible('#lab-start')))
  })
})
