// The wiki over TLS and HTTP/2, in a real browser.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startBrowser } from './harness/browser.mjs'
import { temporaryFolder } from './harness/processes.mjs'
import { startServer } from './harness/server.mjs'
import { limit } from './harness/wiki.mjs'

// This program's own requests to its own server.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

/** A browser registers no service worker where it does not know who signed the certificate. */
const noWorker = /service.?worker|certificate/i

describe('a wiki over HTTPS', () => {
  /** @type {Awaited<ReturnType<typeof startServer>>} */
  let server
  /** @type {Awaited<ReturnType<typeof startBrowser>>} */
  let people

  before(async () => {
    const folder = temporaryFolder('tls')
    const [certs, key] = [join(folder, 'certs.pem'), join(folder, 'key.pem')]
    const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
    execFileSync('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', certs], { stdio: 'pipe' })
    server = await startServer({ env: { HALLEY_TLS_CERTS: certs, HALLEY_TLS_KEY: key } })
    people = await startBrowser()
  })
  after(async () => {
    await people?.close()
    await server?.stop()
  })

  it('keeps ten tabs of one browser live over one HTTP/2 connection, and others beside', limit(120), async () => {
    assert.match(server.url, /^https:/)
    await server.put('Secure', 'Beginning.\n\nEnd: ')
    const [anna, ben] = await Promise.all(
      [1, 2].map(() => people.person(server.url, { ignoreHTTPSErrors: true, allow: noWorker })),
    )
    const tabs = []
    for (let n = 0; n < 10; n++) tabs.push(await ben.read('Secure'))
    for (const tab of tabs) await tab.reaches(['stream', 'poll'], { seconds: 15 })
    const protocol = await tabs[9].page.evaluate(
      () => /** @type {PerformanceNavigationTiming} */ (performance.getEntriesByType('navigation')[0]).nextHopProtocol,
    )
    assert.equal(protocol, 'h2')
    for (const tab of tabs) await tab.mark()
    const writer = await anna.edit('Secure')
    await writer.reaches(['stream'], { seconds: 15 })
    await writer.placeCaret('end')
    await writer.type('written over TLS')
    for (const tab of tabs) await tab.sees('written over TLS', { seconds: 15 })
    const cookies = await tabs[0].page.context().cookies()
    assert.ok(cookies.length > 0 && cookies.every((cookie) => cookie.secure), JSON.stringify(cookies))
    await people.leave()
  })
})
