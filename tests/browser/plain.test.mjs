// Without JavaScript: read, create, edit, merge, delete and undo, in a real browser with scripts off.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { missingNoise } from './harness/browser.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

describe('without JavaScript', () => {
  const wiki = useWiki()

  /** @param {RegExp} [allow] */
  const scriptless = async (allow) => {
    const person = await wiki.people.person(wiki.server.url, { javaScriptEnabled: false, allow })
    return person.context.newPage()
  }

  it('the front page is complete HTML with styles and refreshes itself', limit(), async () => {
    const page = await scriptless()
    const answer = await page.goto('/')
    assert.equal(answer?.status(), 200)
    assert.ok((await page.locator('#page h1, #page h2').count()) > 0)
    assert.match(await page.content(), /<noscript><meta http-equiv="refresh" content="30"/)
    const font = await page.evaluate(() => getComputedStyle(document.body).fontFamily).catch(() => '')
    if (font) assert.doesNotMatch(font, /^"?Times/)
  })

  it('a page is created, written and read', limit(), async () => {
    const page = await scriptless(missingNoise('Notes of today'))
    const missing = await page.goto('/wiki/Notes%20of%20today')
    assert.equal(missing?.status(), 404)
    await page.locator('main form [type="submit"], main button').first().click()
    await page.waitForURL(/\/edit\//)
    assert.doesNotMatch(await page.content(), /http-equiv="refresh"/, 'a form must not be refreshed away')
    await page.fill('textarea[name="text"]', '# Today\n\nWe *met*. ÄÖ 🙂 <b>bold</b>\n')
    await page.locator('#edit-form [type="submit"]').click()
    await page.waitForURL(/\/wiki\/Notes/)
    assert.match(await page.locator('#page h1').innerText(), /^Today\b/)
    assert.equal(await page.locator('#page em').innerText(), 'met')
    assert.match(await wiki.server.raw('Notes of today'), /We \*met\*\. ÄÖ 🙂/)
  })

  it('two forms that change different places are merged', limit(), async () => {
    await wiki.server.put('Merged', 'one\n\ntwo\n\nthree\n')
    const [a, b] = [await scriptless(), await scriptless()]
    await Promise.all([a.goto('/edit/Merged'), b.goto('/edit/Merged')])
    await a.fill('textarea[name="text"]', 'ONE\n\ntwo\n\nthree\n')
    await b.fill('textarea[name="text"]', 'one\n\ntwo\n\nTHREE\n')
    await a.locator('#edit-form [type="submit"]').click()
    await a.waitForURL(/\/wiki\/Merged/)
    await b.locator('#edit-form [type="submit"]').click()
    await b.waitForURL(/\/wiki\/Merged/)
    assert.equal((await wiki.server.raw('Merged')).trim(), 'ONE\n\ntwo\n\nTHREE')
  })

  it('two forms that change the same words keep both and say so', limit(), async () => {
    await wiki.server.put('Conflict', 'The meeting is on Monday.\n')
    const [a, b] = [await scriptless(), await scriptless()]
    await Promise.all([a.goto('/edit/Conflict'), b.goto('/edit/Conflict')])
    await a.fill('textarea[name="text"]', 'The meeting is on Tuesday.\n')
    await b.fill('textarea[name="text"]', 'The meeting is on Friday.\n')
    await a.locator('#edit-form [type="submit"]').click()
    await a.waitForURL(/\/wiki\/Conflict/)
    await b.locator('#edit-form [type="submit"]').click()
    await b.waitForLoadState()
    const said = await b.locator('main').innerText()
    assert.match(said, /Tuesday/)
    assert.match(said, /Friday/)
    const raw = await wiki.server.raw('Conflict')
    assert.match(raw, /Tuesday/)
    assert.match(raw, /Friday/)
  })

  it('a form that is saved while a browser types merges into what is being typed', limit(), async () => {
    await wiki.server.put('Form and editor', 'First line.\n\nLast line.\n')
    const form = await scriptless()
    await form.goto('/edit/Form%20and%20editor')
    const anna = await wiki.people.person(wiki.server.url)
    const editor = await anna.edit('Form and editor')
    await editor.placeCaret('Last line.')
    await editor.type(' Typed')
    await editor.saved()
    await form.fill('textarea[name="text"]', 'First line, from the form.\n\nLast line.\n')
    await form.locator('#edit-form [type="submit"]').click()
    await form.waitForURL(/\/wiki\//)
    await editor.type(' live.')
    await editor.sees('First line, from the form.')
    await editor.saved()
    assert.equal((await wiki.server.raw('Form and editor')).trim(), 'First line, from the form.\n\nLast line. Typed live.')
  })

  it('deleting asks, and can be undone', limit(), async () => {
    await wiki.server.put('Going', 'Still here.\n')
    const page = await scriptless(missingNoise('Going'))
    await page.goto('/delete/Going')
    assert.equal((await fetch(`${wiki.server.url}/wiki/Going`)).status, 200, 'asking deletes nothing')
    await page.locator('main form [type="submit"]').first().click()
    await page.waitForURL(/\/wiki\/Going/)
    assert.equal((await fetch(`${wiki.server.url}/wiki/Going`)).status, 404)
    await page.locator('form[action^="/restore/"] [type="submit"], form[action^="/restore/"] button').first().click()
    await page.waitForURL(/\/wiki\/Going/)
    assert.match(await page.locator('#page').innerText(), /Still here/)
  })
})
