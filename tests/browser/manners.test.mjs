// What people see of each other's doings that are not text: names, several tabs, a page that is taken away.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { deletedNoise } from './harness/browser.mjs'
import { until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

describe('manners', () => {
  const wiki = useWiki()

  it('a new name is shown by the tabs that were open before, and by everybody else', limit(), async () => {
    await wiki.server.put('Names', 'Who is here?')
    const [anna, ben] = await Promise.all([wiki.people.person(wiki.server.url), wiki.people.person(wiki.server.url)])
    const a = await anna.edit('Names')
    const b = await ben.read('Names')
    await a.mark()
    const form = await anna.context.newPage()
    await form.goto('/name?back=/wiki/Names')
    await form.fill('input[name="name"]', 'Anna Ångström')
    await form.locator('form:has(input[name="name"]) [type="submit"]').click()
    await form.waitForURL('**/wiki/Names')
    await until(async () => (await a.page.textContent('#you'))?.includes('Anna Ångström'), { what: 'the older tab has the new name' })
    await until(async () => (await b.people()).some((name) => /^Anna Ångström, writing in 2 tabs$/.test(name)), { what: 'others see the name, once' })
    assert.match((await b.page.textContent('.here-summary')) ?? '', /^2 here$/)
    await a.assertNeverReloaded()
  })

  it('whoever writes learns at once that the page was deleted, and can bring it back', limit(), async () => {
    await wiki.server.put('Gone', 'Here today.')
    const anna = await wiki.people.person(wiki.server.url, { allow: deletedNoise })
    const a = await anna.edit('Gone')
    await fetch(`${wiki.server.url}/api/v1/pages/Gone`, { method: 'DELETE' })
    await a.page.getByText('This page has been deleted').waitFor()
    await a.page.getByRole('button', { name: 'Restore the page' }).click()
    await a.page.getByText('This page has been deleted').waitFor({ state: 'detached' })
    await a.placeCaret('end')
    await a.type(' And tomorrow.')
    await a.saved()
    assert.equal(await (await fetch(`${wiki.server.url}/raw/Gone`)).text(), 'Here today. And tomorrow.')
  })

  it('the list of pages is filtered while one types, and stays live', limit(), async () => {
    await wiki.server.put('Fruit/banana', 'x')
    await wiki.server.put('Fruit/apple', 'x')
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    await page.goto('/pages')
    await page.locator('.live-status[data-state="live"]').waitFor(limit(10))
    const names = () => page.locator('.page-row .page-name').allTextContents()
    await page.locator('#q').pressSequentially('banan', { delay: 20 })
    await until(async () => (await names()).join() === 'Fruit/banana', { what: async () => `only the banana is listed: ${await names()}` })
    await wiki.server.put('Fruit/bananas', 'x')
    await until(async () => (await names()).length === 2, { what: 'the new page joins the filtered list' })
    assert.equal(new URL(page.url()).search, '?q=banan')
    assert.equal(await page.inputValue('#q'), 'banan')
  })

  it('in a page with CRLF a line is written at its end, and its end stays whole', limit(), async () => {
    await wiki.server.put('Windows', 'one\r\ntwo\r\n')
    const anna = await wiki.people.person(wiki.server.url)
    const a = await anna.edit('Windows')
    await a.page.locator('.cm-content').click()
    for (const key of ['Control+Home', 'End']) await a.page.keyboard.press(key)
    await a.page.keyboard.type('!')
    await a.page.keyboard.press('ArrowRight')
    await a.page.keyboard.type('> ')
    await a.saved()
    assert.equal(await (await fetch(`${wiki.server.url}/raw/Windows`)).text(), 'one!\r\n> two\r\n')
  })
})
