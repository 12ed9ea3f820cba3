// What a person sees and presses beside the text itself: menus, bars, notes, paper.
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, it } from 'node:test'
import { networkNoise, startBrowser } from './harness/browser.mjs'
import { slowness, until } from './harness/processes.mjs'
import { startServer } from './harness/server.mjs'

describe('looks', () => {
  /** @type {Awaited<ReturnType<typeof startServer>>} */
  let server
  /** @type {Awaited<ReturnType<typeof startBrowser>>} */
  let people
  before(async () => {
    server = await startServer()
    people = await startBrowser()
  })
  afterEach(() => people.leave())
  after(async () => {
    await people?.close()
    await server?.stop()
  })
  const limit = { timeout: 60_000 * slowness }

  it('a menu closes by Escape, by a press elsewhere and when another one opens', limit, async () => {
    await server.put('Menus', 'Words to press on.')
    const anna = await people.person(server.url)
    const { page } = await anna.read('Menus')
    await page.waitForSelector('#live-menu')
    const menu = page.locator('.page-actions details.menu')
    const summary = menu.locator('summary')
    const closed = () => until(async () => !(await menu.evaluate((it) => /** @type {HTMLDetailsElement} */ (it).open)), { what: 'the menu is closed' })
    const list = page.getByText('Markdown source')
    await summary.click()
    await list.waitFor()
    await page.keyboard.press('Escape')
    await closed()
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'More about this page')
    await summary.click()
    await list.waitFor()
    await page.getByText('Words to press on.').click()
    await closed()
    await summary.click()
    await list.waitFor()
    await page.locator('#live-menu summary').click()
    await closed()
    await page.getByText('Keep this tab up to date by').waitFor()
  })

  it('whoever reads a page that is deleted brings it back with one press', limit, async () => {
    await server.put('Read and gone', 'Here today.')
    const anna = await people.person(server.url)
    const a = await anna.read('Read and gone')
    await a.reaches(['stream'])
    await a.mark()
    await fetch(`${server.url}/api/v1/pages/Read%20and%20gone`, { method: 'DELETE' })
    await a.page.getByText('This page was deleted').waitFor()
    await a.page.getByRole('button', { name: 'Restore the page' }).click()
    await a.page.getByText('This page was deleted').waitFor({ state: 'detached' })
    assert.equal(await server.raw('Read and gone'), 'Here today.')
    await a.assertNeverReloaded()
  })

  it('out of reach of the server no window says saved, and the preview says that it stands still', { timeout: 120_000 * slowness }, async () => {
    await server.put('Away', 'Words.')
    const anna = await people.person(server.url, { allow: networkNoise })
    const a = await anna.edit('Away')
    await a.reaches(['stream'])
    // The worker keeps the page for opening it offline.
    await a.page.evaluate(() => navigator.serviceWorker.ready)
    await until(() => a.page.evaluate(async () => (await caches.keys()).length > 0), { what: 'the page is kept' })
    const note = a.page.locator('.preview-note')
    assert.equal(await note.isVisible(), false)
    await server.kill()
    await a.placeCaret('end')
    await a.type(' Written away.')
    await a.becomes('offline', { seconds: 40 })
    await until(async () => /not saved|kept in this browser/.test(await a.saveStatus()), { what: 'the words are not saved' })
    assert.match((await note.textContent()) ?? '', /waits for the server/)
    await until(
      async () => {
        const b = await anna.edit('Away')
        const has = (await b.text()).includes('Written away.')
        if (has) {
          assert.match(await b.saveStatus(), /^Offline.* — this is the copy kept in this browser$/)
        }
        await b.page.close()
        return has
      },
      { seconds: 20, what: 'a second window shows the words' },
    )
    await server.start()
    await a.saved({ seconds: 40 })
    await note.waitFor({ state: 'hidden', timeout: 40_000 * slowness })
    assert.equal(await server.raw('Away'), 'Words. Written away.')
  })

  it('in the preview glows what others write, not what one writes oneself', limit, async () => {
    await server.put('Glow', 'First.\n\nSecond.\n')
    const [anna, ben] = await Promise.all([people.person(server.url), people.person(server.url)])
    const a = await anna.edit('Glow')
    await a.page.evaluate(() => {
      const seen = /** @type {any} */ (window)
      seen.glowed = []
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) {
          for (const node of addedNodes) {
            if (node instanceof HTMLElement && node.classList.contains('changed')) seen.glowed.push(node.textContent)
          }
        }
      }).observe(/** @type {Node} */ (document.querySelector('#preview')), { childList: true })
    })
    const glowed = () => a.page.evaluate(() => /** @type {string[]} */ (/** @type {any} */ (window).glowed))
    const previews = (/** @type {string} */ text) => a.page.locator('#preview', { hasText: text }).waitFor()
    await a.placeCaret('First.')
    await a.type(' Mine.')
    await previews('First. Mine.')
    assert.deepEqual(await glowed(), [])
    const b = await ben.edit('Glow')
    await a.saved()
    // What comes while one writes oneself is not told apart; after that it is.
    await a.page.waitForTimeout(2100)
    await b.placeCaret('Second.')
    await b.type(' Theirs.')
    await previews('Second. Theirs.')
    assert.ok((await glowed()).length > 0)
  })

  it('a form puts the caret where one goes on writing', limit, async () => {
    const anna = await people.person(server.url)
    const page = await anna.context.newPage()
    const selection = () =>
      page.evaluate(() => {
        const { selectionStart, selectionEnd, value } = /** @type {HTMLInputElement} */ (document.activeElement)
        return { from: selectionStart, to: selectionEnd, length: value?.length }
      })
    await page.goto('/new?path=team/')
    await until(async () => JSON.stringify(await selection()) === '{"from":5,"to":5,"length":5}', { what: async () => `the caret is at the end: ${JSON.stringify(await selection())}` })
    await page.goto('/name')
    await until(async () => ((made) => made.from === 0 && made.length > 0 && made.to === made.length)(await selection()), { what: 'the name is selected' })
  })

  it('on the narrowest screen nothing is wider than it, and nothing stands on anything else', limit, async () => {
    await server.put('Narrow', `# Narrow\n\n| ${'wide | '.repeat(20)}\n| ${'--- | '.repeat(20)}\n\n\`\`\`\n${'code '.repeat(60)}\n\`\`\`\n`)
    const anna = await people.person(server.url, { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true })
    const page = await anna.context.newPage()
    const overlaps = () =>
      page.evaluate(() => {
        const parts = [...document.querySelectorAll('.page-bar :is(summary, .button, .face, .save-status, .pane-tabs, .crumbs)')]
          .map((element) => ({ element, box: element.getBoundingClientRect() }))
          .filter(({ box }) => box.width > 0 && box.height > 0)
        const found = []
        for (const [i, a] of parts.entries()) {
          for (const b of parts.slice(i + 1)) {
            if (a.element.contains(b.element) || b.element.contains(a.element) || (a.element.matches('.face') && b.element.matches('.face'))) continue
            const across = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left)
            const down = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top)
            if (across > 1 && down > 1) found.push(`${a.element.className} ${b.element.className}`)
          }
        }
        return found
      })
    for (const mode of ['stream', 'poll']) {
      for (const address of ['/wiki/Narrow', '/edit/Narrow']) {
        await page.goto(`${address}?live=${mode}`)
        await page.locator('#live-status[data-state="live"], #live-status[data-state="refreshing"]').waitFor()
        if (address.startsWith('/edit')) await page.locator('#toolbar button').first().waitFor()
        assert.deepEqual(await overlaps(), [], `${address} ${mode}`)
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320, `${address} ${mode}`)
        const bar = await page.locator('.page-bar').evaluate((it) => it.getBoundingClientRect().height)
        assert.ok(bar <= 120, `the bar of ${address} has two rows, it is ${bar} px high (${mode})`)
      }
    }
  })

  it('light or dark is chosen once for all tabs, and is there before the page is painted', limit, async () => {
    const anna = await people.person(server.url, { colorScheme: 'light' })
    const { page: other } = await anna.read('Home')
    const page = await anna.context.newPage()
    const shade = (/** @type {import('playwright-core').Page} */ it) => it.evaluate(() => getComputedStyle(document.body.parentElement ?? document.body).backgroundColor)
    await page.goto('/name')
    await page.getByRole('radio', { name: 'As this device' }).waitFor()
    const light = await shade(page)
    await page.getByRole('radio', { name: 'Dark' }).check()
    const dark = await shade(page)
    assert.notEqual(dark, light)
    await until(async () => (await shade(other)) === dark, { what: 'the other tab follows' })
    await page.goto('/pages', { waitUntil: 'commit' })
    await page.waitForSelector('body')
    assert.equal(await shade(page), dark)
    await page.goto('/name')
    assert.equal(await page.getByRole('radio', { name: 'Dark' }).isChecked(), true)
    await page.getByRole('radio', { name: 'As this device' }).check()
    assert.equal(await shade(page), light)
    await until(async () => (await shade(other)) === light, { what: 'the other tab follows back' })
  })

  it('the editor prints the page and not its source', limit, async () => {
    await server.put('Paper', '# On paper\n')
    const anna = await people.person(server.url)
    const { page } = await anna.edit('Paper')
    await page.emulateMedia({ media: 'print' })
    assert.equal(await page.locator('.pane-write').isVisible(), false)
    assert.equal(await page.locator('#preview h1').isVisible(), true)
  })
})
