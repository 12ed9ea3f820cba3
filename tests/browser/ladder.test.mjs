// The page finds the right rung behind bad networks by itself, loses nothing there, and returns to the stream.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { agree, networkNoise } from './harness/browser.mjs'
import { startFaultProxy, startNginx } from './harness/server.mjs'
import { limit, useStages } from './harness/wiki.mjs'

/** @typedef {import('./harness/browser.mjs').Editor} Editor */
/** @typedef {import('./harness/browser.mjs').Reader} Reader */

/**
 * What the page must do under each fault of the proxy.
 *
 * `rungs`: any of these is right. `within`: seconds until it is reached, where it is not the 5 of the issue.
 * `news`: seconds until something arrives on the rung. `paste`: what is written comes in one piece.
 * @type {{ fault: string, rungs: string[], within?: number, news?: number, paste?: boolean }[]}
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
  // Two people who type a word each send 7.4 KB to a third: as much as this line carries in all of 4 s.
  { fault: 'slow 2000', rungs: ['stream', 'hold'], within: 8, paste: true },
  // Three streams have to be cut before the verdict.
  { fault: 'cut 8', rungs: ['hold'], within: 40 },
  { fault: 'cut 2', rungs: ['hold', 'poll'], within: 20 },
  { fault: 'idle 7', rungs: ['hold'], within: 40 },
  { fault: 'rst 2', rungs: ['hold', 'poll'], within: 20 },
]

/** The way back is tried after 1 s instead of a minute; everything else is as shipped. */
const quickReturn = { shadowFirst: 1000, shadowMax: 4000 }

/** How long the way back may take: a shadow stream is promoted with the first heartbeat, after 15 s. */
const returnSeconds = 30

// Most of each test is waiting for a network's misbehaviour, so several run at once.
describe('the ladder', { concurrency: 3 }, () => {
  const stage = useStages()

  /**
   * Somebody behind a network, and somebody who sits beside the server.
   * @param {import('./harness/wiki.mjs').Stage} stage @param {string} path @param {string} networkUrl
   */
  async function twoPeople({ server, people }, path, networkUrl) {
    await server.put(path, 'Text: ')
    const behind = await people.person(networkUrl, { allow: networkNoise })
    await behind.context.addInitScript((overrides) => {
      // The empty page before the first has no storage.
      if (location.protocol.startsWith('http')) sessionStorage.setItem('halley.timing', JSON.stringify(overrides))
    }, quickReturn)
    const beside = await people.person(server.url)
    return { behind, b: await beside.edit(path) }
  }

  /**
   * Text goes both ways and arrives once, in the reading window too.
   * @param {import('./harness/wiki.mjs').Server} server @param {string} path
   * @param {{ a: Editor, b: Editor, reader: Reader, word: string, seconds: number, paste?: boolean }} scene
   */
  async function passesBothWays(server, path, { a, b, reader, word, seconds, paste = false }) {
    await a.placeCaret('end')
    await b.placeCaret('start')
    await Promise.all([a.write(`out-${word} `, { paste }), b.write(`in-${word} `, { paste })])
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
    it(`behind nginx (${template}) it reaches ${rungs} within 5 s and loses nothing`, limit(90), stage(async (on) => {
      const nginx = await on.use(startNginx(template, on.server.port))
      const path = `Behind nginx ${template}`
      const { behind, b } = await twoPeople(on, path, nginx.url)
      const reader = await behind.read(path)
      const first = await reader.reaches(rungs)
      const a = await behind.edit(path)
      // The second window shares the first one's connection. While the way back is being tried for the first one's topics
      // alone, which may come into use, the second asks for itself and says so. Even behind 'ignore' that way is found in
      // the end, by a stream that fills the proxy's buffers up; here it is tried after a second instead of a minute.
      const second = await a.reaches([...rungs, 'stream'], { seconds: 20 })
      console.log(`# nginx ${template}: ${first.rung} after ${first.seconds} s, editor after ${second.seconds} s`)
      await passesBothWays(on.server, path, { a, b, reader, word: template, seconds: 3 })
    }))
  }

  it('behind nginx that breaks off what is silent for 5 s nothing is lost', limit(120), stage(async (on) => {
    const nginx = await on.use(startNginx('timeout', on.server.port))
    const { behind, b } = await twoPeople(on, 'Behind nginx timeout', nginx.url)
    const [a, reader] = [await behind.edit('Behind nginx timeout'), await behind.read('Behind nginx timeout')]
    await a.reaches(['hold', 'poll'], { seconds: 45 })
    await passesBothWays(on.server, 'Behind nginx timeout', { a, b, reader, word: 'timeout', seconds: 8 })
  }))

  for (const { fault, rungs, within = 5, news = 4, paste } of faults) {
    it(`behind '${fault}' it goes to ${rungs.join(' or ')}, loses nothing, and returns to the stream afterwards`, limit(180), stage(async (on) => {
      const proxy = await on.use(startFaultProxy(on.server.port, fault))
      const path = `Behind ${fault}`
      const { behind, b } = await twoPeople(on, path, proxy.url)
      const a = await behind.edit(path)
      const reader = await behind.read(path)
      for (const window of [a, reader]) await window.mark()

      // Also while the verdict is not in yet, what others write arrives.
      await b.placeCaret('start')
      await b.write('at-once ', { paste })
      await a.sees('at-once', { seconds: within + news })
      const reached = await a.reaches(rungs, { seconds: within })
      await reader.reaches(rungs, { seconds: within })
      console.log(`# ${fault}: ${reached.rung} after ${reached.seconds} s`)
      await passesBothWays(on.server, path, { a, b, reader, word: 'during', seconds: news, paste })
      // On a quiet page too, where no later event pushes this one through.
      for (const word of ['quiet-one', 'quiet-two']) {
        // Silence has no event to wait for.
        await reader.page.waitForTimeout(4000)
        await b.write(`${word} `, { paste })
        await reader.sees(word, { seconds: news })
        await a.sees(word, { seconds: news })
      }

      await proxy.mode('off')
      await a.reaches(['stream'], { seconds: returnSeconds })
      await passesBothWays(on.server, path, { a, b, reader, word: 'after', seconds: 3 })
      for (const window of [a, reader]) await window.assertNeverReloaded()
    }))
  }

  it('a fault that begins on a running stream is noticed, and nothing is lost', limit(180), stage(async (on) => {
    const proxy = await on.use(startFaultProxy(on.server.port))
    const { behind, b } = await twoPeople(on, 'Turned mute', proxy.url)
    const [a, reader] = [await behind.edit('Turned mute'), await behind.read('Turned mute')]
    await a.reaches(['stream'])
    await proxy.mode('mute')
    await b.placeCaret('end')
    await b.type('unheard ')
    // The next beat (every 20 s) or the watchdog (25 s) finds out.
    await Promise.all([a.sees('unheard', { seconds: 45 }), reader.sees('unheard', { seconds: 45 })])
    await proxy.mode('off')
    await a.reaches(['stream'], { seconds: returnSeconds + 30 })
    await passesBothWays(on.server, 'Turned mute', { a, b, reader, word: 'after', seconds: 3 })
  }))

  for (const { fault, seconds } of [
    // The network swallows everything: the watchdog (25 s) and a beat that is not answered (3 s) must tell.
    { fault: 'hole 0', seconds: 45 },
    { fault: 'refuse', seconds: 10 },
    { fault: 'portal', seconds: 45 },
  ]) {
    it(`behind '${fault}' it says that it is offline, demotes nothing, keeps what is typed, and returns`, limit(240), stage(async (on) => {
      const proxy = await on.use(startFaultProxy(on.server.port))
      const path = `Behind ${fault}`
      const { behind, b } = await twoPeople(on, path, proxy.url)
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
      await passesBothWays(on.server, path, { a, b, reader, word: 'after', seconds: 3 })
      const text = await on.server.raw(path)
      for (const part of ['typed-without-network ', 'and-after ', 'typed-beside ']) assert.equal(text.split(part).length, 2, text)
      for (const window of [a, reader]) await window.assertNeverReloaded()
    }))
  }

  it('connections that turn into holes one by one lose nothing', limit(240), stage(async (on) => {
    const proxy = await on.use(startFaultProxy(on.server.port))
    const { behind, b } = await twoPeople(on, 'Behind hole 6', proxy.url)
    // No browser asks again for a file of the page that was swallowed: the holes begin when both stand.
    const [a, reader] = [await behind.edit('Behind hole 6'), await behind.read('Behind hole 6')]
    await proxy.mode('hole 6')
    await a.placeCaret('end')
    await a.type('through-holes ')
    await b.placeCaret('start')
    await b.type('into-holes ')
    await a.sees('into-holes', { seconds: 60 })
    await reader.sees('into-holes', { seconds: 60 })
    await b.sees('through-holes', { seconds: 60 })
    await proxy.mode('off')
    await a.reaches(['stream', 'hold'], { seconds: 60 })
    await passesBothWays(on.server, 'Behind hole 6', { a, b, reader, word: 'after', seconds: 10 })
  }))

  it('two connections are enough for one page', limit(), stage(async (on) => {
    const proxy = await on.use(startFaultProxy(on.server.port, 'cap 2'))
    const { behind, b } = await twoPeople(on, 'Behind cap 2', proxy.url)
    const a = await behind.edit('Behind cap 2')
    await b.placeCaret('start')
    await b.type('squeezed-in ')
    await a.placeCaret('end')
    await a.type('squeezed-out ')
    await a.sees('squeezed-in', { seconds: 10 })
    await b.sees('squeezed-out', { seconds: 10 })
  }))

  it('eight windows of one browser on one page all stay live', limit(90), stage(async (on) => {
    await on.server.put('Eight', 'One page, eight windows.')
    const [many, beside] = await Promise.all([on.people.person(on.server.url), on.people.person(on.server.url)])
    const readers = []
    for (let count = 0; count < 8; count++) readers.push(await many.read('Eight'))
    const b = await beside.edit('Eight')
    await b.placeCaret('end')
    await b.type(' Everywhere!')
    for (const reader of readers) await reader.sees('Everywhere!', { seconds: 8 })
  }))

  it('the choice in the address is followed and off means off', limit(), stage(async (on) => {
    await on.server.put('Chosen', 'Nothing moves.')
    const [anna, beside] = await Promise.all([on.people.person(on.server.url), on.people.person(on.server.url)])
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
  }))
})
