// A page's history in a browser: what changed lately, differences, and an old text that comes back while somebody types.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Reader, agree } from './harness/browser.mjs'
import { until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

describe('the history', () => {
  const wiki = useWiki()

  for (const live of ['stream', 'hold', 'poll']) {
    it(`lists who writes now and what was written, and keeps itself up to date, on ${live}`, limit(90), async () => {
      const path = `Lately on ${live}`
      await wiki.server.put(path, 'Text.\n')
      const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url)))
      const page = await anna.context.newPage()
      await page.goto(`/recent?live=${live}`)
      const list = new Reader(page)
      await list.reaches([live], { seconds: 10 })
      await list.mark()
      const row = () => page.locator('.revision', { hasText: path }).first().innerText()
      const editor = await ben.edit(path, { live })
      await editor.placeCaret('end')
      await editor.type('More words.')
      await editor.saved()
      const name = await editor.page.evaluate(() => JSON.parse(document.body.dataset.you ?? '{}').name)
      // The list is told that a page is being written, and does not ask again for each word.
      await until(async () => /still being written/.test(await row()), { seconds: 15, what: async () => `it is being written: ${await row()}` })
      await editor.page.close({ runBeforeUnload: true })
      await until(async () => {
        const text = await row()
        return text.includes(name) && !text.includes('still being written')
      }, { seconds: 25, what: async () => `the revision of ${name} is closed: ${await row()}` })
      await list.assertNeverReloaded()
    })
  }

  it('lists what changed lately without JavaScript, and asks again by itself', limit(60), async () => {
    await wiki.server.put('Lately plain', 'Text.\n')
    const anna = await wiki.people.person(wiki.server.url, { javaScriptEnabled: false })
    const page = await anna.context.newPage()
    await page.goto('/recent')
    assert.match(await page.content(), /<noscript><meta http-equiv="refresh" content="30"/)
    assert.match(await page.content(), /Refreshed every 30 s/)
    await page.locator('.revision', { hasText: 'Lately plain' }).waitFor()
    await wiki.server.put('Lately plain too', 'Text.\n')
    await page.reload()
    await page.locator('.revision', { hasText: 'Lately plain too' }).waitFor()
    await page.goto('/watching')
    assert.match(await page.content(), /<noscript><meta http-equiv="refresh" content="30"/)
  })

  it('shows what differs in both forms, wide and on a phone', limit(60), async () => {
    await wiki.server.put('Differs', '# Title\n\nOne two three four.\n\nA line that goes somewhere else.\n\nLast.\n')
    const anna = await wiki.people.person(wiki.server.url)
    const editor = await anna.edit('Differs')
    await editor.placeCaret('three')
    await editor.type(' and a half')
    await editor.saved()
    await editor.page.close()
    const page = await anna.context.newPage()
    await page.goto('/history/Differs')
    await page.getByRole('link', { name: /^Changes of revision/ }).first().click()
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 })
      for (const form of ['One below the other', 'Side by side']) {
        await page.getByRole('link', { name: form }).click()
        await page.locator('.diff').first().waitFor()
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(over <= 0, `${form} at ${width} px is ${over} px too wide`)
        assert.ok((await page.locator('.diff').innerText()).includes('Title'))
      }
    }
    const [from] = new URL(page.url()).searchParams.getAll('from')
    assert.equal(from, '0', 'the first revision is compared with nothing')
    await page.goto('/diff/Differs?from=1')
    assert.equal((await page.locator('.diff ins').first().innerText()).trim(), 'and a half')
  })

  it('brings an old text back as an edit, while somebody goes on typing', limit(60), async () => {
    await wiki.server.put('Comes back', 'First text.\n')
    const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url)))
    const editor = await anna.edit('Comes back')
    await editor.placeCaret('end')
    await editor.type('Something that goes away. ')
    await editor.saved()
    const page = await ben.context.newPage()
    await page.goto('/diff/Comes%20back?from=1')
    const typing = editor.type('KEPT'.repeat(10), { delay: 40 })
    await page.getByRole('button', { name: 'Bring back revision 1' }).click()
    await page.waitForURL('**/wiki/Comes%20back')
    await typing
    const text = await agree(wiki.server, 'Comes back', [editor], { seconds: 15 })
    assert.ok(text.startsWith('First text.\n'), text)
    assert.ok(text.includes('KEPT') && text.endsWith('T'), `typing goes on: ${text}`)
    await page.goto('/history/Comes%20back')
    assert.match(await page.locator('.revisions').first().innerText(), /still being written/)
  })
})
