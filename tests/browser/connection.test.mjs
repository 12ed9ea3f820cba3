// The page "Connection": what it says about networks that misbehave in ways we know, and the lines for proxies.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { networkNoise } from './harness/browser.mjs'
import { root, slowness, until } from './harness/processes.mjs'
import { startFaultProxy, startNginx } from './harness/server.mjs'
import { limit, useStages } from './harness/wiki.mjs'
import { startProxy } from '../recipes/proxies.mjs'

/** @typedef {import('playwright-core').Page} Page */

/** @param {Page} page what it says */
const read = (page) =>
  page.evaluate(() => ({
    kind: /** @type {HTMLElement} */ (document.querySelector('#verdict')).dataset.kind ?? '',
    tone: /** @type {HTMLElement} */ (document.querySelector('#verdict')).dataset.tone ?? '',
    words: document.querySelector('#verdict-words')?.textContent ?? '',
    letter: document.querySelector('#letter')?.textContent ?? '',
    done: /** @type {HTMLElement} */ (document.querySelector('#measure-again')).hidden === false,
    rows: Object.fromEntries(
      [...document.querySelectorAll('#measure-rows tr')].map((row) => [
        /** @type {HTMLElement} */ (row).dataset.row ?? '',
        [...row.querySelectorAll('td')].map((cell) => cell.textContent).join(' | '),
      ]),
    ),
  }))

/** Waits until the measurement is over, and what it says. @param {Page} page @param {number} seconds */
async function measured(page, seconds = 60) {
  let last = await read(page)
  await until(async () => (last = await read(page)).done, { seconds, every: 200, what: () => `it is measured: ${JSON.stringify(last)}` })
  return last
}

// Nearly all of each test is waiting for held requests and heartbeats.
describe('the page "Connection"', { concurrency: 4 }, () => {
  const stage = useStages()

  /** @param {import('./harness/wiki.mjs').Stage} on @param {string} url @param {import('./harness/browser.mjs').ContextOptions} [options] */
  async function open(on, url, options = {}) {
    const person = await on.people.person(url, { allow: networkNoise, ...options })
    const page = await person.context.newPage()
    await page.goto('/connection')
    return { person, page }
  }

  it('without anything between it says so within seconds, and has all figures after half a minute', limit(120), stage(async (on) => {
    const { page } = await open(on, on.server.url)
    const begun = Date.now()
    await page.waitForSelector('#verdict[data-kind="stream"]', { timeout: 8000 * slowness })
    const seconds = (Date.now() - begun) / 1000
    const said = await measured(page)
    assert.equal(said.words, 'Your network lets live pages through.')
    assert.match(said.rows.stream, /^its signals came when they were sent, the first after [\d.]+ ms, the second (6|7)\d\d ms later/)
    assert.match(said.rows.held, /^for [\d.]+ ms at most/)
    assert.match(said.rows.life, /^at least 1\d s, with its heartbeat on time/)
    assert.match(said.rows.hold, /^25 s passed/)
    assert.match(said.rows.post, /^4 KB arrived unchanged/)
    assert.match(said.rows.cache, /none answered/)
    assert.match(said.rows.coding, /^none/)
    assert.match(said.rows.rtt, /^[\d.]+ ms at best/)
    // One clock: the difference is nothing, within the error that the page names.
    assert.match(said.rows.clock, /^the same, ± [\d.]+ ms/)
    assert.match(said.rows.protocol, /^HTTP\/1\.1/)
    assert.match(said.rows.proxy, /none shows itself.*takes you for 127\.0\.0\.1/)
    await until(async () => /^Live \|/.test((await read(page)).rows.now), { what: 'the ladder has settled' })
    assert.match(said.letter, /lets live pages through[\s\S]*Nothing has to be changed/)
    console.log(`# nothing between: verdict after ${seconds.toFixed(1)} s, clock ${said.rows.clock}, round trip ${said.rows.rtt}`)
  }))

  for (const { fault, kind, words, rows, letter } of /** @type {{ fault: string, kind: RegExp, words: RegExp, rows: Record<string, RegExp>, letter: RegExp }[]} */ ([
    {
      fault: 'mute', kind: /^mute$/,
      words: /^Something between you and the wiki holds responses back until they end; Halley works by held requests instead\.$/,
      rows: { stream: /it was opened, and nothing came/, held: /until the response ends: nothing came in 2\d s/, hold: /25 s passed/ },
      letter: /no buffering/,
    },
    {
      fault: 'tick 2', kind: /^(lumped|late)$/,
      words: /(holds data back for about 2 s|passes data on about [12] s late).*held requests/,
      rows: { stream: /together|late/, held: /for up to (1\.\d|2|2\.\d) s/, hold: /25 s passed/ },
      letter: /no buffering/,
    },
    {
      fault: 'behind', kind: /^padded$/,
      words: /holds small pieces of data back; Halley fills them up/,
      rows: { stream: /second signal (did not come|came too late)/, padded: /came when they were sent/, held: /until the next one comes/ },
      letter: /no buffering/,
    },
    {
      // About: the browser may read a block in two pieces.
      fault: 'thresh 4096', kind: /^threshold$/,
      words: /holds data back until a few KB have gathered; Halley works by held requests instead, and by a stream/,
      rows: { stream: /nothing came/, padded: /came when they were sent/, held: /until about [34](\.\d)? KB have gathered/ },
      letter: /no buffering/,
    },
    {
      fault: 'cut 8', kind: /^cut$/,
      words: /breaks every response off after about 8 s; Halley works by shorter held requests instead/,
      rows: { life: /broken off twice, after (8|8\.\d|7\.9) s/, hold: /broken off after (8|8\.\d) s; 5 s passed \| Halley asks for 6\.\d s/ },
      letter: /live for at least 6 minutes/,
    },
    {
      fault: 'idle 7', kind: /^idle$/,
      words: /breaks a response off after about 7 s of silence; Halley works by shorter held requests instead/,
      rows: { life: /broken off twice, after 7\.\d s \((7|7\.\d) s of silence\)/, hold: /broken off after (7|7\.\d) s; 5 s passed/ },
      letter: /silent for at least 30 s/,
    },
  ])) {
    it(`behind '${fault}' it names what is wrong`, limit(150), stage(async (on) => {
      const proxy = await on.use(startFaultProxy(on.server.port, fault))
      const { page } = await open(on, proxy.url)
      const said = await measured(page)
      assert.match(said.kind, kind, JSON.stringify(said))
      assert.match(said.words, words)
      for (const [row, pattern] of Object.entries(rows)) assert.match(said.rows[row] ?? '', pattern, row)
      assert.match(said.letter, letter)
      assert.ok(said.letter.includes(said.words) && said.letter.includes(proxy.url), said.letter)
      const mail = decodeURIComponent((await page.getAttribute('#letter-mail', 'href')) ?? '')
      assert.ok(mail.startsWith('mailto:?subject=') && mail.includes(said.words) && mail.match(letter) && mail.length < 2000, mail)
      console.log(`# ${fault}: ${said.words}`)
      // The network is mended, and so is the verdict.
      if (fault !== 'mute') return
      await proxy.mode('off')
      await page.click('#measure-again')
      await page.waitForSelector('#verdict[data-kind="stream"]', { timeout: 10_000 * slowness })
    }))
  }

  it('behind nginx that ignores what it is asked, it says that responses are held back', limit(150), stage(async (on) => {
    const nginx = await on.use(startNginx('ignore', on.server.port))
    const { page } = await open(on, nginx.url)
    const said = await measured(page)
    // It fills a buffer of 4 KB first; what Halley sends is smaller.
    assert.equal(said.kind, 'threshold', JSON.stringify(said))
    assert.match(said.words, /holds data back until a few KB have gathered; Halley works by held requests instead/)
    assert.match(said.rows.held, /until about [34](\.\d)? KB have gathered/)
    await until(async () => /^Live by held requests \|/.test((await read(page)).rows.now), { what: 'the ladder has come to the same' })
  }))

  it('behind nginx as it is recommended, it is HTTP/2, and the wiki says what it lacks', limit(150), stage(async (on) => {
    const nginx = await on.use(startProxy('nginx', on.server.port))
    const { page } = await open(on, `https://127.0.0.1:${nginx.port}`, { ignoreHTTPSErrors: true })
    await page.waitForSelector('#verdict[data-kind="stream"]', { timeout: 10_000 * slowness })
    await page.click('#measure-stop')
    const { rows } = await read(page)
    assert.match(rows.protocol, /^HTTP\/2 \| All tabs share one connection/)
    assert.match(rows.post, /arrived unchanged/)
    assert.match(rows.proxy, /shows itself by X-Forwarded-For \| .*takes you for 127\.0\.0\.1: it needs the setting trusted_proxy/)
  }))

  it('a sign-in page, a network that is gone and one that is back are told apart', limit(150), stage(async (on) => {
    const proxy = await on.use(startFaultProxy(on.server.port))
    const { page } = await open(on, proxy.url)
    await page.waitForSelector('#verdict[data-kind="stream"]')
    await page.click('#measure-stop')
    await proxy.mode('portal')
    await page.click('#measure-again')
    await page.waitForSelector('#verdict[data-kind="portal"]')
    assert.match((await measured(page)).words, /may want you to sign in/)
    await proxy.mode('refuse')
    await page.click('#measure-again')
    await page.waitForSelector('#verdict[data-kind="offline"]', { timeout: 20_000 * slowness })
    const away = await measured(page)
    assert.match(away.words, /cannot be reached, so nothing could be measured/)
    assert.equal(away.letter, '')
    await proxy.mode('off')
    await page.evaluate(() => dispatchEvent(new Event('online')))
    await page.waitForSelector('#verdict[data-kind="stream"]', { timeout: 10_000 * slowness })
  }))

  it('whoever stops it is told nothing that is not certain, and no request goes on', limit(), stage(async (on) => {
    const proxy = await on.use(startFaultProxy(on.server.port, 'mute'))
    const { page } = await open(on, proxy.url)
    /** @type {string[]} */
    const asked = []
    await page.waitForSelector('#measure-stop:visible')
    await page.focus('#measure-stop')
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'measure-again', 'the keyboard stays with the buttons')
    page.on('request', (request) => asked.push(request.url()))
    assert.match((await read(page)).words, /stopped before anything was certain/)
    assert.equal((await read(page)).letter, '')
    // Silence has no event to wait for.
    await page.waitForTimeout(3000)
    assert.deepEqual(asked.filter((url) => url.includes('/_live/probe') || url.includes('shadow=1')), [])
  }))

  it('the lines for four proxies can be copied, by the keyboard too, with the address of this wiki', limit(), stage(async (on) => {
    const { person, page } = await open(on, on.server.url)
    await person.context.grantPermissions(['clipboard-read', 'clipboard-write'])
    for (const [id, file] of [['nginx', 'nginx.conf'], ['caddy', 'Caddyfile'], ['apache', 'apache.conf'], ['haproxy', 'haproxy.cfg']]) {
      const recipe = page.locator(`#recipe-${id}`)
      await recipe.locator('summary').focus()
      await page.keyboard.press('Enter')
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      await recipe.getByText('Copied', { exact: true }).waitFor()
      const text = readFileSync(join(root, 'docs/proxies', file), 'utf8').replaceAll('127.0.0.1:8000', `127.0.0.1:${on.server.port}`)
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text)
    }
    const menu = await person.context.newPage()
    await menu.goto('/pages')
    await menu.locator('#live-menu summary').click()
    await menu.getByRole('link', { name: 'What does this network do?' }).click()
    await menu.waitForURL('**/connection')
  }))

  it('without JavaScript the lines are there, and a sentence', limit(), stage(async (on) => {
    const { page } = await open(on, on.server.url, { javaScriptEnabled: false })
    assert.match(await page.locator('main').innerText(), /Measuring needs JavaScript/)
    assert.equal(await page.locator('#measure').isVisible(), false)
    await page.locator('#recipe-haproxy summary').click()
    assert.match(await page.locator('#recipe-haproxy pre').innerText(), new RegExp(`server halley 127\\.0\\.0\\.1:${on.server.port}`))
  }))

  it('nothing is wider than the window, on a phone and in the dark too', limit(150), stage(async (on) => {
    const shots = process.env.TEST_SHOTS
    if (shots) mkdirSync(shots, { recursive: true })
    const proxy = await on.use(startFaultProxy(on.server.port, 'cut 8'))
    for (const [width, height] of [[1280, 900], [390, 844], [320, 640]]) {
      for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        const phone = width < 500
        if (width === 320 && colorScheme === 'dark') continue
        const { person, page } = await open(on, width === 390 ? proxy.url : on.server.url, { viewport: { width, height }, colorScheme, hasTouch: phone, isMobile: phone })
        await page.waitForSelector('#verdict[data-kind="stream"], #verdict[data-kind="cut"]', { timeout: 30_000 * slowness })
        if (shots) {
          await page.screenshot({ path: join(shots, `connection-running-${width}-${colorScheme}.png`) })
          await measured(page)
          await page.locator('#recipe-nginx summary').click()
          await page.screenshot({ path: join(shots, `connection-${width}-${colorScheme}.png`), fullPage: true })
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth)
        assert.ok(wide <= width, `${wide} px at ${width}`)
        await person.close()
      }
    }
  }))
})
