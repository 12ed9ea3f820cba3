// The wire, by curl and bare sockets: what a person sees on a terminal, and what hostile clients cannot stop.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { agree } from './harness/browser.mjs'
import { slowness, temporaryFolder, until } from './harness/processes.mjs'
import { startServer } from './harness/server.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

const run = promisify(execFile)
/** @param {string[]} args */
const curl = async (...args) => (await run('curl', ['-sS', '--max-time', '20', ...args])).stdout

describe('on the wire', () => {
  const wiki = useWiki()

  it('curl -N shows a stream that a person can read', limit(), async () => {
    const { id } = await wiki.server.put('Curled', 'Hello.\n')
    const child = spawn('curl', ['-sSNi', `${wiki.server.url}/_live/events?mode=stream&topics=view:${id},here:${id}&client=curlcurlcurlcurl&nonce=seen`])
    let seen = ''
    child.stdout.on('data', (data) => (seen += data))
    await until(() => seen.includes('event: probe'), { seconds: 5, what: () => `hello and probe came: ${seen}` })
    assert.match(seen, /^HTTP\/1\.1 200/)
    assert.match(seen, /content-type: text\/event-stream\r\n/i)
    assert.match(seen, /cache-control: no-store, no-transform/i)
    assert.match(seen, /x-accel-buffering: no/i)
    assert.match(seen, /incremental: \?1/i)
    assert.match(seen, /event: hello\nid: [a-z2-7]{8}\.\d+\ndata: \{.*"nonce":"seen"/)
    await wiki.server.put('Curled', 'Hello, world.\n', await wiki.server.revision('Curled'))
    await until(() => seen.includes('Hello, world.'), { seconds: 5, what: () => `the change came: ${seen}` })
    assert.match(seen, /event: batch\nid: [a-z2-7]{8}\.\d+\ndata: \{"from":"[^"]+","to":"[^"]+","events":\[.*"topic":"view:/)
    child.kill()
  })

  it('curl -T with If-Match edits a page while a browser types in it', limit(), async () => {
    await wiki.server.put('Page', 'First line.\n\nLast line.\n')
    const anna = await wiki.people.person(wiki.server.url)
    const a = await anna.edit('Page')
    const folder = temporaryFolder('curl')
    const file = join(folder, 'page.md')
    const head = await curl('-D', '-', '-o', file, `${wiki.server.url}/raw/Page`)
    const etag = /etag: ("[^"]+")/i.exec(head)?.[1] ?? ''
    assert.match(etag, /^"\d+"$/)
    await a.placeCaret('Last line.')
    await a.type(' Typed')
    await a.saved()
    writeFileSync(file, readFileSync(file, 'utf8').replace('First', 'Uploaded first'))
    const typing = a.type(' in the browser.', { delay: 40 })
    const answer = await curl('-T', file, '-H', 'Content-Type: text/markdown', '-H', `If-Match: ${etag}`, '-w', '\n%{http_code}', `${wiki.server.url}/api/v1/pages/Page`)
    assert.match(answer, /\n200$/, answer)
    await typing
    assert.equal(await agree(wiki.server, 'Page', [a]), 'Uploaded first line.\n\nLast line. Typed in the browser.\n')
  })

  it('writes that must not happen are refused with the right status and a sentence', limit(), async () => {
    await wiki.server.put('Guarded', 'Text.\n')
    const url = `${wiki.server.url}/api/v1/pages/Guarded`
    const cookie = (await fetch(`${wiki.server.url}/wiki/Guarded`)).headers.get('set-cookie')?.split(';')[0] ?? ''
    assert.match(cookie, /halley_guest=/)
    const markdown = { 'content-type': 'text/markdown' }
    /** @type {[string, RequestInit, number][]} */
    const cases = [
      ['no If-Match', { method: 'PUT', headers: markdown, body: 'x' }, 428],
      ['a revision that does not exist yet', { method: 'PUT', headers: { ...markdown, 'if-match': '"999999"' }, body: 'x' }, 412],
      ['If-None-Match on an existing page', { method: 'PUT', headers: { ...markdown, 'if-none-match': '*' }, body: 'x' }, 412],
      ['a foreign origin', { method: 'PUT', headers: { ...markdown, 'if-match': '"1"', origin: 'https://evil.example' }, body: 'x' }, 403],
      ['a foreign fetch', { method: 'PUT', headers: { ...markdown, 'if-match': '"1"', 'sec-fetch-site': 'cross-site' }, body: 'x' }, 403],
      ['a cookie without an origin', { method: 'PUT', headers: { ...markdown, 'if-match': '"1"', cookie }, body: 'x' }, 403],
      ['not UTF-8', { method: 'PUT', headers: { ...markdown, 'if-match': '"1"' }, body: new Uint8Array([0x61, 0xff, 0xfe]) }, 422],
      ['too large', { method: 'PUT', headers: { ...markdown, 'if-match': '"1"' }, body: 'x'.repeat(1024 * 1024 + 1) }, 413],
      ['another type', { method: 'PUT', headers: { 'content-type': 'text/html', 'if-match': '"1"' }, body: 'x' }, 415],
    ]
    for (const [what, request, status] of cases) {
      const answer = await fetch(url, request)
      const body = await answer.text()
      assert.equal(answer.status, status, `${what}: ${answer.status} ${body}`)
      const { error } = JSON.parse(body)
      assert.match(error.code, /^[a-z0-9_]+$/, what)
      assert.match(error.message, /^[A-Z].*[.!?]$/s, what)
    }
    assert.equal(await wiki.server.raw('Guarded'), 'Text.\n')
  })

  it('bad paths, cursors and topics are refused with 400', limit(), async () => {
    const { id } = await wiki.server.put('Bad', 'Text.\n')
    for (const query of [
      `mode=poll&cursor=nonsense&topics=view:${id}&client=aaaaaaaaaaaaaaaa&nonce=n`,
      'mode=poll&topics=nonsense:1&client=aaaaaaaaaaaaaaaa&nonce=n',
      `mode=poll&topics=view:x&client=aaaaaaaaaaaaaaaa&nonce=n`,
    ]) {
      const answer = await fetch(`${wiki.server.url}/_live/events?${query}`)
      assert.equal(answer.status, 400, `${query}: ${await answer.text()}`)
    }
    for (const path of ['a/../b', '%2e%2e/x', 'a//b', 'x%00y', 'x%0ay', Array(18).fill('a').join('/')]) {
      const answer = await curl('--path-as-is', '-o', '/dev/null', '-w', '%{http_code}', `${wiki.server.url}/wiki/${path}`)
      assert.ok(['400', '308', '404'].includes(answer), `${path}: ${answer}`)
      const write = await curl('--path-as-is', '-X', 'PUT', '-d', 'x', '-H', 'Content-Type: text/markdown', '-o', '/dev/null', '-w', '%{http_code}', `${wiki.server.url}/api/v1/pages/${path}`)
      assert.ok(['400', '308', '404'].includes(write), `PUT ${path}: ${write}`)
    }
  })

  it('the program alone in an empty folder serves the welcome page with its styles', limit(), async () => {
    const html = await curl(`${wiki.server.url}/`)
    const styles = [...html.matchAll(/<link rel="stylesheet" href="([^"]+)"/g)].map((match) => match[1].replaceAll('&#x2f;', '/'))
    assert.ok(styles.length > 0, html)
    for (const style of styles) {
      const answer = await fetch(wiki.server.url + style)
      assert.equal(answer.status, 200, style)
      assert.match(answer.headers.get('content-type') ?? '', /text\/css/)
      assert.ok((await answer.text()).length > 500, style)
    }
  })

  it('updates that overflow the stack of an ungated server are refused, and it runs on', limit(), async () => {
    const { id } = await wiki.server.put('Bombs', 'Text.\n')
    const session = await fetch(`${wiki.server.url}/_live/pages/${id}/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
      body: '{"client":"bombbombbombbomb"}',
    })
    const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? ''
    const { client_id: own } = await session.json()
    const number = (/** @type {number} */ value) => {
      const bytes = []
      for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
      return [...bytes, value]
    }
    const body = [4, ...Buffer.from('body')]
    /** @param {number} count @param {(index: number) => number[]} part */
    const many = (count, part) => Array.from({ length: count }, (_, index) => part(index)).flat()
    const bombs = {
      'arrays in arrays': [1, 1, ...number(own), 0, 8, 1, ...body, 1, ...many(20_000, () => [117, 1]), 127, 0],
      'clients without structs': [...number(60_000), ...many(60_000, (index) => [0, ...number(index + 1), 0]), 0],
      // Each type is the parent of the next; then the first is deleted.
      'types in types': [
        1, ...number(20_000), ...number(own), 0,
        ...many(20_000, (index) => (index === 0 ? [7, 1, ...body, 0] : [7, 0, ...number(own), ...number(index - 1), 0])),
        1, ...number(own), 1, 0, 1,
      ],
    }
    for (const [what, bytes] of Object.entries(bombs)) {
      const answer = await fetch(`${wiki.server.url}/_live/pages/${id}/updates?client=bombbombbombbomb&op=bomb-${bytes.length}`, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream', 'sec-fetch-site': 'same-origin', cookie },
        body: new Uint8Array(bytes),
      })
      const text = await answer.text()
      assert.ok([409, 413, 422].includes(answer.status), `${what}: ${answer.status} ${text}`)
    }
    assert.equal(await wiki.server.raw('Bombs'), 'Text.\n')
  })

  it('200 silent and stuck connections do not stop anybody else', limit(120), async () => {
    const big = 'A long page. '.repeat(20_000)
    const { id } = await wiki.server.put('Stuck', big)
    const measure = async () => {
      const times = []
      for (let count = 0; count < 40; count++) {
        const begun = performance.now()
        const answer = await fetch(`${wiki.server.url}/healthz`)
        await answer.text()
        assert.equal(answer.status, 200)
        times.push(performance.now() - begun)
      }
      return times.sort((x, y) => x - y)
    }
    const quiet = await measure()

    const sockets = Array.from({ length: 200 }, (_, index) => {
      const socket = connect(wiki.server.port, '127.0.0.1')
      socket.on('error', () => {})
      const host = 'Host: 127.0.0.1\r\n'
      const starts = [
        // Half a request line, half a head, half a body.
        'GET /wi',
        `GET /wiki/Stuck HTTP/1.1\r\n${host}X-Slow: `,
        `PUT /api/v1/pages/Stuck HTTP/1.1\r\n${host}Content-Type: text/markdown\r\nIf-Match: "1"\r\nContent-Length: 100000\r\n\r\nabc`,
        // Whole requests whose answers nobody reads.
        `GET /raw/Stuck HTTP/1.1\r\n${host}\r\n`.repeat(30),
        `GET /_live/events?mode=stream&topics=view:${id}&client=stuckstuck${1000 + index}stuck&nonce=n HTTP/1.1\r\n${host}\r\n`,
      ]
      socket.write(starts[index % starts.length])
      socket.pause()
      return socket
    })
    await until(() => sockets.every((socket) => !socket.connecting), { what: 'all are connected' })
    // What they do not read has to pile up somewhere: the server is made to send.
    const anna = await wiki.people.person(wiki.server.url)
    const a = await anna.edit('Stuck')
    await a.placeCaret('start')
    await a.type('Still alive, and everybody sees it at once. ')
    await a.saved({ seconds: 10 })
    const busy = await measure()
    const p = (/** @type {number[]} */ times) => `p50 ${times[20].toFixed(1)} ms, max ${times[39].toFixed(1)} ms`
    const memory = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${wiki.server.pid}/status`, 'utf8'))?.[1]) / 1024
    console.log(`# healthz alone: ${p(quiet)}; beside 200 hostile sockets: ${p(busy)}; server ${memory.toFixed(0)} MB`)
    assert.ok(busy[20] < Math.max(20, quiet[20] * 5) * slowness, p(busy))
    assert.ok(memory < 400, `${memory} MB`)
    assert.match(await wiki.server.raw('Stuck'), /^Still alive/)
    for (const socket of sockets) socket.destroy()
  })

  it('SIGTERM ends the server in time with hostile connections open', limit(), async () => {
    const other = await startServer()
    await other.put('Stop', 'x'.repeat(500_000))
    const sockets = Array.from({ length: 40 }, (_, index) => {
      const socket = connect(other.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(index % 2 ? 'GET /wi' : 'GET /raw/Stop HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(20))
      socket.pause()
      return socket
    })
    await until(() => sockets.every((socket) => !socket.connecting), { what: 'all are connected' })
    const took = await other.stop()
    assert.ok(took < 5000 * slowness, `${took} ms`)
    for (const socket of sockets) socket.destroy()
  })
})
