// A whole measurement on a clock of its own, before networks that misbehave.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fnv1a } from '../../static/js/connection/reach.js'
import { LONG_MS, measure, measureLong } from '../../static/js/connection/run.js'
import { judge } from '../../static/js/connection/verdict.js'
import { rows } from '../../static/js/connection/words.js'
import { FakeClock } from './support/clock.mjs'
import { FakeServer } from './support/server.mjs'

/** A browser before a wiki; counts what is under way at the same time. */
function place(fault = {}, { aheadMs = 0, probes = {} } = {}) {
  const clock = new FakeClock()
  const server = new FakeServer(clock)
  server.fault = fault
  const open = new Set()
  const most = { open: 0 }
  const answer = async (url, init) => {
    const { pathname, searchParams } = new URL(url, 'http://wiki.test')
    if (!pathname.endsWith('/probe')) return server.fetch(url, init)
    server.requests.push({ url, mode: 'probe', method: init.method ?? 'GET', at: clock.now() })
    await new Promise((done) => clock.setTimeout(done, 10))
    if (server.fault.down) throw new TypeError('network')
    if (server.fault.portal) return new Response('<html>sign in</html>', { headers: { 'content-type': 'text/html' } })
    const nonce = probes.nonce ?? searchParams.get('nonce')
    const json = init.method === 'POST'
      ? { nonce, length: init.body.length, hash: fnv1a(probes.changes ? `${init.body}x` : init.body) }
      : { nonce, now_ms: Math.round(clock.now() + aheadMs), address: '192.0.2.1', trusted: false, proxies: [], via: null }
    await new Promise((done) => clock.setTimeout(done, 10))
    return new Response(JSON.stringify(json), { headers: { 'content-type': 'application/json' } })
  }
  const fetch = async (url, init = {}) => {
    const mine = {}
    open.add(mine)
    most.open = Math.max(most.open, open.size)
    const over = () => open.delete(mine)
    init.signal?.addEventListener('abort', over)
    try {
      const response = await answer(url, init)
      // A stream goes on; everything else is as good as read.
      if (!url.includes('mode=stream')) over()
      return response
    } catch (error) {
      over()
      throw error
    }
  }
  return { clock, server, most, open, net: { fetch, clock, now: () => clock.now(), base: '/_live' } }
}

/** Runs it to its end. */
async function run(at, signal = new AbortController().signal) {
  const kinds = []
  let progress = { share: 0, doing: '' }
  const measuring = measure(at.net, signal, (measured, now) => {
    progress = now
    const { kind } = judge(measured)
    if (kinds.at(-1) !== kind) kinds.push(kind)
  })
  let measured = null
  void measuring.then((value) => (measured = value))
  for (let n = 0; n < 80 && !measured; n += 1) await at.clock.advance(1000)
  assert.ok(measured, 'it ends')
  return { measured, kinds, progress, requests: at.server.requests, took: at.clock.now() - measured.at }
}

describe('a measurement', () => {
  for (const [what, fault, kinds, row, pattern] of [
    ['nothing between', {}, ['wait', 'stream'], 'hold', /^25 s passed/],
    ['mute', { mute: true }, ['wait', 'mute'], 'held', /nothing came in 2\d s/],
    ['a tick of 2 s', { tick: 2000 }, ['wait', 'lumped'], 'held', /^for up to 2/],
    ['one behind', { behind: true }, ['wait', 'padded'], 'held', /until the next one comes/],
    ['blocks of 4 KB', { block: 4096 }, ['wait', 'threshold'], 'held', /until about 4 KB/],
    ['a cut at 8 s', { cut: 8000, holdCut: 8000 }, ['wait', 'stream', 'wait', 'cut'], 'hold', /broken off after 8 s; 5 s passed/],
    ['a cut at 3 s', { cut: 3000, holdCut: 3000 }, ['wait', 'stream', 'wait', 'cut'], 'hold', /broken off after 3 s/],
    ['streams refused', { streamRefused: true }, ['wait', 'blocked'], 'stream', /could not be opened/],
    ['a page in the stream’s place', { streamPortal: true }, ['wait', 'blocked'], 'stream', /something else answered/],
    ['a cache', { cache: true }, ['wait', 'cached'], 'cache', /old copy/],
    ['a cache that has only the beginning', { cache: true, probeAfter: 1e7 }, ['wait', 'cached'], 'stream', /old copy/],
    ['too many streams', { cap: true }, ['wait', 'full'], 'stream', /not opened: too many streams/],
    ['held requests answered at once', { instant: true, mute: true }, ['wait', 'mute'], 'hold', /too early/],
    ['a sign-in page', { portal: true }, ['wait', 'portal'], null, null],
    ['nobody there', { down: true }, ['wait', 'offline'], null, null],
  ]) {
    it(`before ${what}: ${kinds.join(', ')}`, async () => {
      const at = place(fault)
      const { measured, kinds: seen, progress, requests, took } = await run(at)
      assert.deepEqual(seen, kinds)
      assert.equal(measured.done, true)
      assert.deepEqual(progress, { share: 1, doing: '' })
      const found = rows(measured, null)
      if (row) assert.match(found.find(({ id }) => id === row)?.value ?? '', pattern)
      else assert.deepEqual(found.filter(({ id }) => id !== 'rtt'), [])
      // Bounded: few requests, few at a time, all over in the end.
      assert.ok(requests.length <= 26, `${requests.length} requests`)
      assert.ok(at.most.open <= 4, `${at.most.open} at a time`)
      assert.equal(at.open.size, 0)
      assert.ok(took <= 40_000, `${took} ms`)
    })
  }

  it('says so when the network goes meanwhile', async () => {
    const at = place()
    at.clock.setTimeout(() => at.server.crash(), 6000)
    const { measured } = await run(at)
    assert.equal(judge(measured).kind, 'offline')
  })

  it('takes news for no early answer', async () => {
    const at = place()
    at.clock.setTimeout(() => at.server.publish({}), 4000)
    const { measured } = await run(at)
    assert.deepEqual(measured.holds.map(({ state }) => state), ['passed', 'passed', 'passed'])
  })

  it('reads the clock of the wiki to half a round trip', async () => {
    const { measured } = await run(place({}, { aheadMs: 5000 }))
    const clock = rows(measured, null).find(({ id }) => id === 'clock')
    assert.match(clock?.value ?? '', /^the wiki's is 5 s ahead, ± 11 ms/)
  })

  it('sees that what is sent arrives changed, and that answers are copies', async () => {
    assert.equal((await run(place({}, { probes: { changes: true } }))).measured.post?.changed, true)
    assert.equal(judge((await run(place({}, { probes: { nonce: 'old' } }))).measured).kind, 'cached')
  })

  it('ends at once when it is stopped, and leaves nothing open', async () => {
    const at = place({ mute: true })
    const abort = new AbortController()
    let reports = 0
    const measuring = measure(at.net, abort.signal, () => (reports += 1))
    await at.clock.advance(3000)
    abort.abort()
    await at.clock.advance(100)
    const [seen, asked] = [reports, at.server.requests.length]
    const measured = await measuring
    await at.clock.advance(60_000)
    assert.equal(measured.done, false)
    assert.deepEqual([reports, at.server.requests.length, at.open.size], [seen, asked, 0])
  })

  it('watches a stream for two minutes', async () => {
    for (const [fault, pattern] of [[{}, /^a stream lived for 120 s, with [78] heartbeats/], [{ cut: 100_000 }, /^broken off after 100 s, after 10 s of silence/]]) {
      const at = place(fault)
      const { measured } = await run(at)
      const watching = measureLong(at.net, measured, new AbortController().signal, () => {})
      await at.clock.advance(LONG_MS + 1000)
      await watching
      assert.match(rows(measured, null).find(({ id }) => id === 'long')?.value ?? '', pattern)
      assert.equal(at.open.size, 0)
    }
  })
})
