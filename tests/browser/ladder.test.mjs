// The page finds the right rung behind bad networks by itself, loses nothing there, and returns to the stream.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { agree, networkNoise, startBrowser } from './harness/browser.mjs'
import { slowness } from './harness/processes.mjs'
import { startFaultProxy, startNginx, startServer } from './harness/server.mjs'

/** @typedef {import('./harness/browser.mjs').Editor} Editor */
/** @typedef {import('./harness/browser.mjs').Reader} Reader */

/**
 * What the page must do under each fault of the proxy.
 *
 * `rungs`: any of these is right. `within`: seconds until it is reached, where it is not the 5 of the issue.
 * `during`: false where nothing can pass while the fault lasts. `news`: seconds until something arrives on the rung.
 * @type {{ fault: string, rungs: string[], within?: number, news?: number, timing?: Record<string, number> }[]}
 */
const faults = [
  { fault: 'off', rungs: ['stream'] },
  { fault: 'mute', rungs: ['hold'] },
  { fault: 'tick 2', rungs: ['hold'], within: 8 },
  { fault: 'tick 20', rungs: ['hold'] },
  // Padding may push each burst out: the stream is right too, as long as it is on time.
  { fault: 'thresh 4096', rungs: ['hold', 'stream'], within: 8 },
  { fault: 'thresh 2048', rungs: ['hold', 'stream'], within: 8 },
  { fault: 'behind', rungs: ['hold', 'stream'], within: 8 },
  { fault: 'slow 2000', rungs: ['stream', 'hold'], within: 8 },
  // Three streams have to be cut before the verdict.
  { fault: 'cut 8', rungs: ['hold'], within: 40 },
  { fault: 'cut 2', rungs: ['hold', 'poll'], within: 20 },
  // What the other tests publish for the whole site keeps a stream from being silent.
  { fault: 'idle 7', rungs: ['hold'], within: 70 },
  { fault: 'rst 2', rungs: ['hold', 'poll'], within: 20 },
]

/** The way back is tried after 1 s instead of a minute; everything else is as shipped. */
const quickReturn = { shadowFirst: 1000, shadowMax: 4000 }

/** How long the way back may take: a shadow stream is promoted with the first heartbeat, after 15 s. */
const returnSeconds = 30

// Most of each test is waiting for a network's misbehaviour, so several run at once.
describe('the ladder', { concurrency: 3 }, () => {
  /** @type {Awaited<ReturnType<typeof startServer>>} */
  let server
  /** @type {Awaited<ReturnType<typeof startBrowser>>} */
  let browser
  before(async () => {
    server = await startServer()
    browser = await startBrowser()
  })
  after(async () => {
    await browser?.close()
    await server?.stop()
  })

  /**
   * Somebody behind a network, and somebody who sits beside the server.
   * @param {string} path @param {string} networkUrl @param {Record<string, number>} [timing]
   */
  async function twoPeople(path, networkUrl, timing = quickReturn) {
    await server.put(path, 'Text: ')
    const people = browser.party()
    const behind = await people.person(networkUrl, { allow: networkNoise })
    await behind.context.addInitScript((overrides) => {
      // The empty page before the first has no storage.
      if (location.protocol.startsWith('http')) sessionStorage.setItem('halley.timing', JSON.stringify(overrides))
    }, timing)
    const beside = await people.person(server.url)
    return { people, behind, b: await beside.edit(path) }
  }

  /**
   * Text goes both ways and arrives once, in the reading window too.
   * @param {string} path @param {{ a: Editor, b: Editor, reader: Reader, word: string, seconds: number }} scene
   */
  async function passesBothWays(path, { a, b, reader, word, seconds }) {
    await a.placeCaret('end')
    await b.placeCaret('start')
    await Promise.all([a.type(`out-${word} `), b.type(`in-${word} `)])
    await Promise.all([a.sees(`in-${word}`, { seconds }), b.sees(`out-${word}`, { seconds }), reader.sees(`in-${word}`, { seconds })])
    await reader.sees(`out-${word}`, { seconds })
    const text = await agree(server, path, [a, b], { seconds: seconds + 5 })
    for (const part of [`out-${word} `, `in-${word} `]) assert.equal(text.split(part).length, 2, text)
  }

  for (const { template, rungs } of [
    { template: 'stock', rungs: ['stream'] },
    { template: 'gzip', rungs: ['stream'] },
    { template: 'ignore', rungs: ['hold'] },
  ]) {
    it(`behind nginx (${template}) it reaches ${rungs} within 5 s and loses nothing`, { timeout: 90_000 * slowness }, async () => {
      const nginx = await startNginx(template, server.port)
      const path = `Behind nginx ${template}`
      const { people, behind, b } = await twoPeople(path, nginx.url)
      const reader = await behind.read(path)
      const first = await reader.reaches(rungs)
      const a = await behind.edit(path)
      const second = await a.reaches(rungs)
      console.log(`# nginx ${template}: ${first.rung} after ${first.seconds} s, editor after ${second.seconds} s`)
      await passesBothWays(path, { a, b, reader, word: template, seconds: 3 })
      await people.leave()
      await nginx.stop()
    })
  }

  it('behind nginx that breaks off what is silent for 5 s nothing is lost', { timeout: 120_000 * slowness }, async () => {
    const nginx = await startNginx('timeout', server.port)
    const { people, behind, b } = await twoPeople('Behind nginx timeout', nginx.url)
    const [a, reader] = [await behind.edit('Behind nginx timeout'), await behind.read('Behind nginx timeout')]
    await a.reaches(['hold', 'poll'], { seconds: 45 })
    await passesBothWays('Behind nginx timeout', { a, b, reader, word: 'timeout', seconds: 8 })
    await people.leave()
    await nginx.stop()
  })

  for (const { fault, rungs, within = 5, news = 4, timing } of faults) {
    it(`behind '${fault}' it goes to ${rungs.join(' or ')}, loses nothing, and returns to the stream afterwards`, { timeout: 180_000 * slowness }, async () => {
      const proxy = await startFaultProxy(server.port, fault)
      const path = `Behind ${fault}`
      const { people, behind, b } = await twoPeople(path, proxy.url, { ...quickReturn, ...timing })
      const a = await behind.edit(path)
      const reader = await behind.read(path)
      for (const window of [a, reader]) await window.mark()

      // Also while the verdict is not in yet, what others write arrives.
      await b.placeCaret('start')
      await b.type('at-once ')
      await a.sees('at-once', { seconds: within + news })
      const reached = await a.reaches(rungs, { seconds: within })
      await reader.reaches(rungs, { seconds: within })
      console.log(`# ${fault}: ${reached.rung} after ${reached.seconds} s`)
      await passesBothWays(path, { a, b, reader, word: 'during', seconds: news })
      // On a quiet page too, where no later event pushes this one through.
      for (const word of ['quiet-one', 'quiet-two']) {
        await reader.page.waitForTimeout(4000)
        await b.type(`${word} `)
        await reader.sees(word, { seconds: news })
        await a.sees(word, { seconds: news })
      }

      await proxy.mode('off')
      await a.reaches(['stream'], { seconds: returnSeconds })
      await passesBothWays(path, { a, b, reader, word: 'after', seconds: 3 })
      for (const window of [a, reader]) await window.assertNeverReloaded()
      await people.leave()
      await proxy.stop()
    })
  }

  it('a fault that begins on a running stream is noticed, and nothing is lost', { timeout: 180_000 * slowness }, async () => {
    const proxy = await startFaultProxy(server.port)
    const { people, behind, b } = await twoPeople('Turned mute', proxy.url)
    const [a, reader] = [await behind.edit('Turned mute'), await behind.read('Turned mute')]
    await a.reaches(['stream'])
    await proxy.mode('mute')
    await b.placeCaret('end')
    await b.type('unheard ')
    // The next beat (every 20 s) or the watchdog (25 s) finds out.
    await Promise.all([a.sees('unheard', { seconds: 45 }), reader.sees('unheard', { seconds: 45 })])
    await proxy.mode('off')
    await a.reaches(['stream'], { seconds: returnSeconds + 30 })
    await passesBothWays('Turned mute', { a, b, reader, word: 'after', seconds: 3 })
    await people.leave()
    await proxy.stop()
  })

  for (const { fault, seconds } of [
    // The network swallows everything: the watchdog (25 s) and a beat that is not answered (3 s) must tell.
    { fault: 'hole 0', seconds: 45 },
    { fault: 'refuse', seconds: 10 },
    { fault: 'portal', seconds: 45 },
  ]) {
    it(`behind '${fault}' it says that it is offline, demotes nothing, keeps what is typed, and returns`, { timeout: 240_000 * slowness }, async () => {
      const proxy = await startFaultProxy(server.port)
      const path = `Behind ${fault}`
      const { people, behind, b } = await twoPeople(path, proxy.url)
      const [a, reader] = [await behind.edit(path), await behind.read(path)]
      for (const window of [a, reader]) {
        await window.reaches(['stream'])
        await window.mark()
      }
      await proxy.mode(fault)
      await a.placeCaret('end')
      await a.type('typed-without-network ')
      await b.placeCaret('start')
      await b.type('typed-beside ')
      await a.becomes('offline', { seconds })
      await reader.becomes('offline', { seconds })
      assert.match(await a.saveStatus(), /not saved|offline|unsaved/i)
      if (fault === 'portal') assert.match((await a.live()).text, /sign/i)
      await a.type('and-after ')

      await proxy.mode('off')
      // Reconnecting waits up to 30 s after long trouble.
      await a.reaches(['stream'], { seconds: 45 })
      await reader.reaches(['stream'], { seconds: 45 })
      await a.saved({ seconds: 45 })
      await passesBothWays(path, { a, b, reader, word: 'after', seconds: 3 })
      const text = await server.raw(path)
      for (const part of ['typed-without-network ', 'and-after ', 'typed-beside ']) assert.equal(text.split(part).length, 2, text)
      for (const window of [a, reader]) await window.assertNeverReloaded()
      await people.leave()
      await proxy.stop()
    })
  }

  it('connections that turn into holes one by one lose nothing', { timeout: 240_000 * slowness }, async () => {
    const proxy = await startFaultProxy(server.port, 'hole 6')
    const { people, behind, b } = await twoPeople('Behind hole 6', proxy.url)
    const [a, reader] = [await behind.edit('Behind hole 6'), await behind.read('Behind hole 6')]
    await a.placeCaret('end')
    await a.type('through-holes ')
    await b.placeCaret('start')
    await b.type('into-holes ')
    await a.sees('into-holes', { seconds: 60 })
    await reader.sees('into-holes', { seconds: 60 })
    await b.sees('through-holes', { seconds: 60 })
    await proxy.mode('off')
    await a.reaches(['stream', 'hold'], { seconds: 60 })
    await passesBothWays('Behind hole 6', { a, b, reader, word: 'after', seconds: 10 })
    await people.leave()
    await proxy.stop()
  })

  it('two connections are enough for one page', { timeout: 60_000 * slowness }, async () => {
    const proxy = await startFaultProxy(server.port, 'cap 2')
    const { people, behind, b } = await twoPeople('Behind cap 2', proxy.url)
    const a = await behind.edit('Behind cap 2')
    await b.placeCaret('start')
    await b.type('squeezed-in ')
    await a.placeCaret('end')
    await a.type('squeezed-out ')
    await a.sees('squeezed-in', { seconds: 10 })
    await b.sees('squeezed-out', { seconds: 10 })
    await people.leave()
    await proxy.stop()
  })

  it('eight windows of one browser on one page all stay live', { timeout: 90_000 * slowness }, async () => {
    const people = browser.party()
    await server.put('Eight', 'One page, eight windows.')
    const [many, beside] = await Promise.all([people.person(server.url), people.person(server.url)])
    const readers = []
    for (let count = 0; count < 8; count++) readers.push(await many.read('Eight'))
    const b = await beside.edit('Eight')
    await b.placeCaret('end')
    await b.type(' Everywhere!')
    for (const reader of readers) await reader.sees('Everywhere!', { seconds: 8 })
    await people.leave()
  })

  it('the choice in the address is followed and off means off', { timeout: 60_000 * slowness }, async () => {
    const people = browser.party()
    await server.put('Chosen', 'Nothing moves.')
    const [anna, beside] = await Promise.all([people.person(server.url), people.person(server.url)])
    /** @type {string[]} */
    const asked = []
    anna.context.on('request', (request) => asked.push(new URL(request.url()).pathname))
    const reader = await anna.read('Chosen', { live: 'off' })
    await reader.becomes('off')
    const b = await beside.edit('Chosen')
    await b.type('moved ')
    await b.saved()
    assert.equal(asked.filter((path) => path.startsWith('/_live/events')).length, 0)
    assert.ok(!(await reader.text()).includes('moved'))
    await people.leave()
  })
})
