// The content security policy, and what a page may load.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { agree } from './harness/browser.mjs'
import { slowness, until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

describe('pages under a strict policy', () => {
  const wiki = useWiki()

  it('no page allows inline scripts, foreign scripts or framing', limit(), async () => {
    await wiki.server.put('Policy', 'Text.')
    for (const path of ['/', '/wiki/Policy', '/edit/Policy', '/pages', '/new', '/name', '/connection', '/wiki/Missing', '/delete/Policy', '/recent', '/watching', '/settings/history', '/playback/Policy', '/blame/Policy', '/history/Policy', '/diff/Policy?from=0', '/diff/Policy?from=0&view=split', '/diff/Policy?from=0&view=rendered', '/diff/Policy?from=0&view=rendered-split']) {
      const answer = await fetch(`${wiki.server.url}${path}`, { headers: { accept: 'text/html' } })
      await answer.text()
      const policy = answer.headers.get('content-security-policy') ?? ''
      const scripts = /script-src ([^;]*)/.exec(policy)?.[1] ?? ''
      assert.match(scripts, /'self'/, `${path}: ${policy}`)
      assert.doesNotMatch(scripts, /unsafe-inline|unsafe-eval|\*|https?:/, `${path}: ${policy}`)
      assert.match(policy, /default-src 'none'/, path)
      assert.match(policy, /frame-ancestors 'none'/, path)
      assert.match(policy, /base-uri 'none'/, path)
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', path)
      assert.equal(answer.headers.get('access-control-allow-origin'), null, path)
    }
  })

  it('the editor types, previews, completes and searches with an empty console', limit(), async () => {
    await wiki.server.put('Team/Handbook', '# Handbook\n')
    await wiki.server.put('Strict', 'Hello.\n')
    const anna = await wiki.people.person(wiki.server.url)
    const a = await anna.edit('Strict')
    await a.placeCaret('end')
    await a.type('\n## A heading\n\n- one\ntwo\n\n\n**bold** `code` ~~gone~~\n\n```rust\nfn main() {}\n```\n', { delay: 3 })
    await a.page.waitForFunction(() => document.querySelector('#preview h2')?.textContent?.includes('A heading'))
    await a.placeCaret('end')
    await a.type('\nSee [[Team/Han', { delay: 30 })
    await a.page.waitForSelector(
      '.cm-tooltip-autocomplete:not(.cm-tooltip-autocomplete-disabled) li[aria-selected="true"]',
      { timeout: 5000 * slowness },
    )
    // For 75 ms after the list has changed CodeMirror takes Enter for a new line, and does not say
    // when they are over.
    await new Promise((resolve) => setTimeout(resolve, 200))
    await a.page.keyboard.press('Enter')
    await until(async () => (await a.text()).includes('[[Team/Handbook]]'), {
      what: async () => `the page's name is completed: ${(await a.text()).slice(-60)}`,
    })
    await a.page.waitForFunction(() => document.querySelector('#preview a[href="/wiki/Team/Handbook"]'))
    await a.page.keyboard.press('Control+f')
    await a.page.waitForSelector('.cm-search, .cm-panel.cm-search', { timeout: 5000 * slowness })
    await a.page.keyboard.press('Escape')
    // Every button of the toolbar does something, and nothing of it breaks.
    for (const button of await a.page.locator('#toolbar button').all()) {
      if ((await button.isVisible()) && (await button.isEnabled())) {
        await a.placeCaret('end')
        await button.click()
        await a.page.keyboard.press('Escape')
      }
    }
    await a.saved()
    await agree(wiki.server, 'Strict', [a])
  })

  it('hostile text stays text in the page, in the preview and in names', limit(), async () => {
    const hostile = [
      '<script>window.hacked = 1</script>',
      '<img src=x onerror="window.hacked = 2">',
      '[click](javascript:window.hacked=3) [data](data:text/html,<script>window.hacked=4</script>)',
      '<svg onload="window.hacked=5"><style>body{display:none}</style></svg>',
      '<div style="position:fixed;inset:0">over</div>',
      '<a href="&#106;avascript:window.hacked=6">x</a>',
    ].join('\n\n')
    await wiki.server.put('Hostile', hostile)
    // The pictures that the hostile text names are asked for, as any would be, and are not there.
    const missing = /^error: Failed to load resource: the server responded with a status of 404 \(Not Found\) \(http:\S+\/(wiki|edit)\/[xy]\)$/
    const anna = await wiki.people.person(wiki.server.url, { allow: missing })
    const reader = await anna.read('Hostile')
    const a = await anna.edit('Hostile')
    await a.placeCaret('end')
    await a.type('\n\n<img src=y onerror=window.hacked=7> live\n')
    await reader.sees('live')
    for (const page of [reader.page, a.page]) {
      assert.equal(await page.evaluate(() => /** @type {any} */ (window).hacked), undefined)
      const bad = await page.evaluate(() =>
        [...document.querySelectorAll('#page *, #preview *')].filter(
          (element) =>
            ['SCRIPT', 'STYLE', 'IFRAME', 'OBJECT', 'SVG', 'svg'].includes(element.tagName) ||
            element.getAttributeNames().some((name) => name.startsWith('on') || name === 'style') ||
            /^\s*(javascript|data|vbscript):/i.test(element.getAttribute('href') ?? ''),
        ).map((element) => element.outerHTML),
      )
      assert.deepEqual(bad, [])
    }
  })

  it('a reader loads no file of the editor', limit(), async () => {
    await wiki.server.put('Light', 'Read me.')
    const anna = await wiki.people.person(wiki.server.url)
    /** @type {string[]} */
    const asked = []
    anna.context.on('request', (request) => asked.push(new URL(request.url()).pathname))
    const reader = await anna.read('Light')
    await reader.reaches(['stream'])
    assert.deepEqual(asked.filter((path) => /vendor|edit\.js|editor\.css|\/editor\//.test(path)), [])
    assert.ok(asked.some((path) => path.endsWith('/js/page.js')))
  })

  it('a page that is open when the server starts anew with other files goes on', limit(), async () => {
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    await page.goto('/')
    const address = await page.evaluate(() => document.body.dataset.static ?? '')
    assert.match(address, /^\/static\/[0-9a-z]+$/i)
    const [right, wrong] = await Promise.all(
      [`${wiki.server.url}${address}/js/page.js`, `${wiki.server.url}/static/0000000000000000/js/page.js`].map((url) => fetch(url)),
    )
    assert.match(right.headers.get('cache-control') ?? '', /immutable/)
    assert.equal(wrong.status, 200)
    assert.match(wrong.headers.get('cache-control') ?? '', /no-cache/)
  })

  it('a changed block is replaced where it stands, without moving what is being read', limit(), async () => {
    const paragraphs = Array.from({ length: 80 }, (_, index) => `Paragraph ${index} says what it has to say, at some length.`)
    await wiki.server.put('Long', paragraphs.join('\n\n'))
    const [anna, ben] = await Promise.all([wiki.people.person(wiki.server.url), wiki.people.person(wiki.server.url)])
    const reader = await anna.read('Long')
    await reader.reaches(['stream'])
    const place = () =>
      reader.page.evaluate(() => {
        const block = [...document.querySelectorAll('#page p')].find((element) => element.textContent?.startsWith('Paragraph 60 '))
        return Math.round(block?.getBoundingClientRect().top ?? NaN)
      })
    await reader.page.evaluate(() => {
      const block = [...document.querySelectorAll('#page p')].find((element) => element.textContent?.startsWith('Paragraph 60 '))
      block?.scrollIntoView({ block: 'center' })
    })
    const before = await place()
    const b = await ben.edit('Long')
    await b.placeCaret('start')
    await b.type('New lines\n\nabove\n\neverything.\n\n')
    await reader.sees('everything.')
    // Scrolling back belongs to the frame in which the text appears.
    await reader.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
    assert.ok(Math.abs((await place()) - before) <= 2, `moved from ${before} to ${await place()}`)
  })

  it('a phone of 390 pixels has no sideways scrolling', limit(), async () => {
    await wiki.server.put('Phone', '# A heading\n\nSome text with a_very_long_word_' + 'x'.repeat(200) + '\n\n| a | b |\n|---|---|\n| ' + 'y'.repeat(120) + ' | z |\n')
    const anna = await wiki.people.person(wiki.server.url, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true })
    const reader = await anna.read('Phone')
    const a = await anna.edit('Phone')
    const pages = await anna.context.newPage()
    await pages.goto('/pages')
    for (const page of [reader.page, a.page, pages]) {
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
      assert.ok(wide <= seen, `${page.url()}: ${wide} > ${seen}`)
    }
  })
})
