// Each recipe of docs/proxies in front of the real server, run by the real proxy:
//
//   node --test tests/recipes/run.mjs                 under a minute; TEST_LONG=1 watches streams for longer
//
// The four run at the same time: most of it is waiting for heartbeats.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { describe, it } from 'node:test'
import { long, slowness, until } from '../browser/harness/processes.mjs'
import { startServer } from '../browser/harness/server.mjs'
import { CLIENT, ORIGIN, ask, listenByHttp2, openDirect, openStream } from './client.mjs'
import { names, startProxy } from './proxies.mjs'

/** How long a stream with heartbeats only is watched: longer than what proxies take for silence, in the long form. */
const LIFE_MS = long ? 70_000 : 20_000

/** How much a proxy may add to the time of an event, in ms: far less than any timer of a proxy's buffers. */
const ADDED_MS = 60 * slowness

/** What one test needs, and what ends with it. @param {string} name @param {{ compress?: boolean }} options */
async function stage(name, options = {}) {
  const server = await startServer({ env: { HALLEY_PUBLIC_ORIGIN: ORIGIN, HALLEY_TRUSTED_PROXY: '["127.0.0.1"]' } })
  const proxy = await startProxy(name, server.port, options).catch(async (error) => {
    await server.kill()
    throw error
  })
  return {
    server,
    proxy,
    async end() {
      await proxy.stop()
      await server.kill()
    },
  }
}

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]

/**
 * Edits come through the proxy hardly later than beside it: the median of what it adds, in ms.
 * @param {Awaited<ReturnType<typeof startServer>>} server @param {number} port @param {Record<string, string>} headers
 */
async function added(server, port, headers = {}) {
  const path = `Timed ${Math.random().toString(36).slice(2)}`
  const { id } = await server.put(path, 'Line 0\n')
  const [through, beside] = await Promise.all([openStream(port, `doc:${id}`, headers), openDirect(server.port, `doc:${id}`)])
  const updates = (/** @type {import('./client.mjs').Frame[]} */ frames) => frames.filter(({ event, data }) => event === 'batch' && data.events.length > 0)
  await until(() => [through, beside].every(({ frames }) => frames.some(({ event }) => event === 'probe')), { what: () => `both prove themselves: ${JSON.stringify(through.frames)}` })
  const count = 7
  for (let n = 1; n <= count; n++) {
    await server.put(path, `Line ${n}\n`, await server.revision(path))
    await until(() => [through, beside].every(({ frames }) => updates(frames).length >= n), { what: () => `edit ${n} comes: ${JSON.stringify(through.frames)}` })
  }
  const [late, soon] = [through, beside].map(({ frames, begun }) => updates(frames).slice(0, count).map(({ ms }) => begun + ms))
  through.end()
  beside.end()
  return median(late.map((at, n) => at - soon[n]))
}

/** Local ports from which connections to this port were made, of late too. @param {number} port */
function peers(port) {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)
  const found = new Set()
  for (const line of lines) {
    const [, local, remote] = line.trim().split(/\s+/)
    if (remote?.endsWith(`:${hex}`)) found.add(local)
    if (local?.endsWith(`:${hex}`)) found.add(remote)
  }
  return found
}

describe('the recipes', { concurrency: true, timeout: (long ? 300 : 170) * 1000 * slowness }, () => {
  for (const name of names) {
    it(`behind ${name}, streams and held requests live, and the wiki knows who asks`, async () => {
      const { server, proxy, end } = await stage(name)
      const { port } = proxy
      try {
        // Running beside everything else.
        const quiet = await openStream(port, 'site')
        const held = ask(port, '/_live/events?mode=hold&topics=site&wait=25&nonce=h1')
        assert.match(String(quiet.headers['content-type']), /^text\/event-stream/)
        assert.equal(quiet.headers['x-request-id'] !== undefined, true, 'it is the wiki that answers')

        // First live data: hello at once, the probe when it is sent, edits as they are made.
        const first = await openStream(port, 'site')
        await until(() => first.frames.length >= 2, { what: 'hello and probe come' })
        const [hello, probe] = first.frames
        assert.deepEqual([hello.event, probe.event], ['hello', 'probe'])
        assert.ok(hello.ms < 400 * slowness, `hello after ${hello.ms} ms`)
        assert.ok(Math.abs(probe.ms - hello.ms - probe.data.t) < 250 * slowness, `probe ${probe.ms - hello.ms} ms after hello, sent ${probe.data.t} after it`)
        first.end()
        const late = await added(server, port)
        assert.ok(late < ADDED_MS, `the proxy adds ${late} ms`)
        const h2 = await listenByHttp2(port, 1500 * slowness)
        assert.equal(h2.beside, 200)
        assert.deepEqual(h2.frames.slice(0, 2).map(({ event }) => event), ['hello', 'probe'], 'over HTTP/2 too')

        // The client's own address, and nobody's word but the proxy's.
        for (const headers of /** @type {Record<string, string>[]} */ ([{}, { 'X-Forwarded-For': '203.0.113.9' }])) {
          const seen = await ask(port, '/_live/probe?nonce=n1', { headers })
          const { address, trusted } = JSON.parse(seen.text)
          assert.deepEqual({ address, trusted }, { address: CLIENT, trusted: true })
        }

        // Writing from the wiki's own pages, and from nobody else's.
        for (const [origin, status] of /** @type {const} */ ([[ORIGIN, 200], ['https://evil.test', 403]])) {
          const sent = await ask(port, '/_live/probe?nonce=n1', { method: 'POST', body: 'x'.repeat(4096), headers: { Origin: origin, Cookie: 'a=b' } })
          assert.equal(sent.status, status, `${origin}: ${sent.text}`)
        }

        // A whole page, as a program and as a form sends it.
        const text = 'Sixty-three characters of a line, and one that ends the line ä.\n'.repeat(16_000).slice(0, 1_000_000)
        const made = await ask(port, '/api/v1/pages/Large', { method: 'PUT', body: text, headers: { 'Content-Type': 'text/markdown', 'If-None-Match': '*' } })
        assert.equal(made.status, 201, made.text)
        assert.equal((await ask(port, '/raw/Large')).text, text)
        const form = `base=1&text=${[...Buffer.from(text.replaceAll('\n', '\r\n'))].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`.slice(0, 3_500_000)
        const saved = await ask(port, '/edit/Large', { method: 'POST', body: form, headers: { 'Content-Type': 'application/x-www-form-urlencoded', Origin: ORIGIN } })
        assert.equal(saved.status, 303, `a form of ${form.length} bytes: ${saved.text.slice(0, 200)}`)

        // Names of pages arrive as they were sent, or they would be redirected for ever.
        for (const path of ['R&D + more', '50% of it', 'a;b=c,d', "it's (one)", 'ä 日本 🙂', 'x/y z']) {
          await server.put(path, 'Found.')
          const redirected = await fetch(`${server.url}/wiki/${path.split('/').map(encodeURIComponent).join('/')}`, { redirect: 'manual' })
          const canonical = redirected.headers.get('location') ?? new URL(redirected.url).pathname
          const page = await ask(port, canonical)
          assert.equal(page.status, 200, `${canonical}: ${page.status} ${page.headers.location}`)
        }

        // Connections to the wiki are used again.
        const agent = new Agent({ keepAlive: true, maxSockets: 1 })
        const before = peers(server.port)
        assert.ok(before.size >= 2, 'the streams have theirs')
        for (let n = 0; n < 20; n++) assert.equal((await ask(port, '/healthz', { agent })).status, 200)
        const fresh = [...peers(server.port)].filter((peer) => !before.has(peer)).length
        agent.destroy()
        assert.ok(fresh <= 4, `20 requests made ${fresh} connections to the wiki`)

        const answer = await held
        assert.equal(answer.status, 200)
        assert.deepEqual(JSON.parse(answer.text).nonce, 'h1')

        await until(() => performance.now() - quiet.begun > LIFE_MS || quiet.endedMs !== null, { seconds: 100, every: 200, what: 'the stream has lived' })
        assert.equal(quiet.endedMs, null, `a stream ended after ${quiet.endedMs} ms`)
        const beats = quiet.frames.filter(({ event }) => event === 'batch')
        assert.ok(beats.length >= Math.floor((LIFE_MS - 1000) / 15_000), `${beats.length} heartbeats`)
        console.log(`# ${name}: hello ${hello.ms.toFixed(0)} ms, events + ${late.toFixed(1)} ms, ${fresh} connections for 20 requests, stream alive after ${(LIFE_MS / 1000).toFixed(0)} s`)
        quiet.end()
      } catch (error) {
        if (error instanceof Error) error.message += `\n${proxy.log().slice(-2000)}`
        throw error
      } finally {
        await end()
      }
    })

    it(`behind ${name}, a restart of the wiki is over when the wiki is back`, async () => {
      const { server, proxy, end } = await stage(name)
      const { port } = proxy
      try {
        const stream = await openStream(port, 'site')
        await until(() => stream.frames.length >= 2, { what: 'hello and probe come' })
        const agent = new Agent({ keepAlive: true })
        await ask(port, '/healthz', { agent })
        await server.stop()
        await until(() => stream.endedMs !== null, { what: 'the stream ends' })
        assert.equal(stream.frames.at(-1)?.event, 'bye', 'it says goodbye')
        const away = await ask(port, '/healthz', { agent })
        assert.ok([502, 503, 504].includes(away.status), `while it is away: ${away.status}`)
        assert.ok(away.ms < 6000 * slowness, `${away.status} after ${away.ms} ms`)
        await server.start()
        const back = performance.now()
        await until(async () => (await ask(port, '/healthz', { agent })).status === 200, { seconds: 5, what: 'it answers again' })
        const took = performance.now() - back
        console.log(`# ${name}: ${away.status} while the wiki is away (after ${away.ms.toFixed(0)} ms), back ${took.toFixed(0)} ms after it`)
        assert.ok(took < 1500 * slowness, `${took} ms`)
        agent.destroy()
      } finally {
        await end()
      }
    })

    it(`behind ${name} with compression added, live data is not held back`, async () => {
      const { server, proxy, end } = await stage(name, { compress: true })
      try {
        const headers = { 'Accept-Encoding': 'gzip' }
        const stream = await openStream(proxy.port, 'site', headers)
        await until(() => stream.frames.length >= 2, { what: 'hello and probe come' })
        const [hello, probe] = stream.frames
        assert.ok(hello.ms < 400 * slowness && probe.ms - hello.ms - probe.data.t < 250 * slowness, `hello ${hello.ms} ms, probe ${probe.ms} ms`)
        const late = await added(server, proxy.port, headers)
        console.log(`# ${name} with compression: stream ${stream.headers['content-encoding'] ?? 'as it is'}, events + ${late.toFixed(1)} ms`)
        assert.ok(late < ADDED_MS, `the proxy adds ${late} ms`)
        stream.end()
      } finally {
        await end()
      }
    })
  }
})
