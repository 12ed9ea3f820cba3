// "Since I was here", marks of what one has not seen, and watched pages, in a browser.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Reader } from './harness/browser.mjs'
import { slowness, until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('./harness/browser.mjs').Person} Person */

/** @param {Person} person @param {string} name */
async function rename(person, name) {
  const page = await person.context.newPage()
  await page.goto('/name')
  await page.fill('input[name="name"]', name)
  await page.getByRole('button', { name: 'Save' }).click()
  await page.waitForURL((url) => url.pathname !== '/name')
  await page.close()
}

/** Somebody writes at the end of a page, and goes. @param {Person} person @param {string} path @param {string} text */
async function write(person, path, text) {
  const editor = await person.edit(path)
  await editor.placeCaret('end')
  await editor.type(text, { delay: 5 })
  await editor.saved()
  await editor.page.close({ runBeforeUnload: true })
}

/** Nothing on a page is wider than the screen. @param {Page} page @param {string} what */
async function fits(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  assert.ok(over <= 0, `${what} is ${over} px too wide`)
}

describe('what is new to somebody', () => {
  const wiki = useWiki()

  /** @param {string[]} names */
  const friends = async (...names) => {
    const people = await Promise.all(names.map(() => wiki.people.person(wiki.server.url)))
    await Promise.all(people.map((person, i) => rename(person, names[i])))
    return people
  }

  it('whoever comes back is told what changed since, sees it as one diff, and dismisses it', limit(90), async () => {
    await wiki.server.put('Comes back', 'One.\n')
    const [anna, ben] = await friends('Anna', 'Ben')
    const first = await anna.read('Comes back')
    await first.reaches(['stream'])
    assert.equal(await first.page.locator('#news').count(), 0)
    await first.page.close({ runBeforeUnload: true })
    await write(ben, 'Comes back', 'Two of Ben.\n')
    const { page } = await anna.read('Comes back')
    const line = page.locator('#news')
    assert.match(await line.innerText(), /^1 change by Ben since you were here a moment ago$/)
    await line.getByRole('link', { name: '1 change' }).click()
    await page.locator('.diff').waitFor()
    assert.match(await page.locator('.diff').innerText(), /Two of Ben/)
    await page.goBack()
    await page.getByText('Two of Ben').waitFor()
    assert.equal(await line.count(), 0, 'who has looked at it has been told')
    await page.goto('/new')
    await write(ben, 'Comes back', 'Three of Ben.\n')
    await page.goto('/wiki/Comes back')
    await line.waitFor()
    await page.reload()
    await line.waitFor()
    const reader = new Reader(page)
    await reader.reaches(['stream'])
    await reader.mark()
    const noted = page.waitForResponse((response) => new URL(response.url()).pathname.startsWith('/seen/'))
    await line.getByRole('button', { name: 'Mark as seen' }).press('Enter')
    assert.equal((await noted).status(), 303)
    await line.waitFor({ state: 'detached' })
    await reader.assertNeverReloaded()
    await page.reload()
    await reader.reaches(['stream'])
    assert.equal(await line.count(), 0)
  })

  it('what somebody sees happen is not told again', limit(60), async () => {
    await wiki.server.put('Looks on', 'One.\n')
    const [anna, ben] = await friends('Anna', 'Ben')
    const reader = await anna.read('Looks on')
    await reader.reaches(['stream'])
    await write(ben, 'Looks on', 'Two.\n')
    await reader.sees('Two.')
    // The server looks each second who has which page in sight, and tells nobody.
    await reader.page.waitForTimeout(2500 * slowness)
    await reader.page.reload()
    assert.equal(await reader.page.locator('#news').count(), 0)
  })

  it('without JavaScript the line says the same, and its form dismisses it', limit(60), async () => {
    await wiki.server.put('Plain', 'One.\n')
    const [ben] = await friends('Ben')
    const anna = await wiki.people.person(wiki.server.url, { javaScriptEnabled: false })
    const page = await anna.context.newPage()
    // The first page gives the cookie, the second one knows who comes.
    await page.goto('/wiki/Plain')
    await page.goto('/wiki/Plain')
    await write(ben, 'Plain', 'Two.\n')
    await page.goto('/wiki/Plain')
    assert.match(await page.locator('#news').innerText(), /1 change by Ben since you were here/)
    await page.locator('.page-actions summary').click()
    await page.getByRole('button', { name: 'Watch only this page' }).click()
    await page.waitForURL('**/wiki/Plain')
    await page.locator('#news').getByRole('button', { name: 'Mark as seen' }).click()
    await page.waitForURL('**/wiki/Plain')
    assert.equal(await page.locator('#news').count(), 0)
    await page.goto('/watching')
    assert.match(await page.locator('.sheet').innerText(), /You have seen everything/)
    await page.getByRole('button', { name: 'Stop watching Plain' }).click()
    await page.getByText('You watch no pages yet').waitFor()
  })

  for (const live of ['stream', 'hold', 'poll']) {
    it(`what is watched lists what is new by itself, on ${live}`, limit(90), async () => {
      const path = `Watched on ${live}`
      await wiki.server.put(path, 'One.\n')
      await wiki.server.put(`${path}/below`, 'One.\n')
      const [anna, ben] = await friends('Anna', 'Ben')
      const { page: star } = await anna.read(path)
      const reader = new Reader(star)
      await reader.reaches(['stream'])
      await reader.mark()
      // With the keyboard alone.
      await star.locator('.page-actions summary').press('Enter')
      await star.getByRole('button', { name: 'Watch this page and all below it' }).press('Enter')
      await star.getByText('You watch this page and all below it now.').waitFor()
      assert.equal(await star.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'More about this page')
      await reader.assertNeverReloaded()
      await star.close({ runBeforeUnload: true })

      const page = await anna.context.newPage()
      await page.goto(`/watching?live=${live}`)
      const list = new Reader(page)
      await list.reaches([live], { seconds: 10 })
      await list.mark()
      assert.match(await page.locator('.sheet').innerText(), /You have seen everything/)
      const stop = page.getByRole('button', { name: `Stop watching ${path}` })
      await stop.focus()
      await write(ben, `${path}/below`, 'Two.\n')
      const row = page.locator('.revision', { hasText: `${path}/below` })
      await row.waitFor({ timeout: 20_000 * slowness })
      assert.match(await row.innerText(), /1 change by Ben/)
      assert.match(await row.innerText(), /You have not opened it yet/)
      assert.ok(await stop.evaluate((button) => button === document.activeElement), 'the focus stays where it was')
      await list.assertNeverReloaded()

      await page.goto(`/recent?live=${live}`)
      const marked = page.locator('.revision.unseen', { hasText: `${path}/below` }).first()
      assert.match(await marked.innerText(), /New/)
      const reading = await anna.read(`${path}/below`)
      await reading.sees('Two.')
      await reading.page.close()
      await page.goto('/pages')
      const known = page.locator('.page-row', { hasText: 'below' })
      assert.equal(await page.locator('.page-row.unseen', { hasText: 'below' }).count(), 0, await known.first().innerText())
      await page.goto('/watching')
      await page.getByText('You have seen everything').waitFor()
    })
  }

  it('everything is marked as seen at once, and nothing is too wide on a phone or in the dark', limit(90), async () => {
    await wiki.server.put('Phone', 'One.\n')
    const [ben] = await friends('Benedict the Incomparable of Somewhere')
    const anna = await wiki.people.person(wiki.server.url, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true })
    await (await anna.read('Phone')).page.close()
    const { page } = await anna.read('Phone')
    await page.locator('.page-actions summary').click()
    await page.getByRole('button', { name: 'Watch only this page' }).click()
    await page.getByText('You watch this page now.').waitFor()
    // Otherwise she would see it happen.
    await page.goto('/watching')
    await page.getByText('You have seen everything').waitFor()
    await write(ben, 'Phone', 'Two.\n')
    // The page itself comes last: it is seen by being opened.
    for (const address of ['/watching', '/recent', '/pages', '/wiki/Phone']) {
      for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        await page.emulateMedia({ colorScheme })
        for (const width of [320, 360, 390, 768]) {
          await page.setViewportSize({ width, height: 844 })
          await page.goto(address)
          await page.locator('#live-status[data-state="live"]').waitFor()
          await page.locator('.unseen, #news').first().waitFor()
          await fits(page, `${address} at ${width} px`)
        }
      }
    }
    await write(ben, 'Phone', 'Three.\n')
    await page.goto('/pages')
    await page.locator('.page-row.unseen', { hasText: 'Phone' }).waitFor()
    await page.getByRole('button', { name: 'Mark all as seen' }).click()
    await page.waitForURL('**/pages')
    assert.equal(await page.locator('.unseen').count(), 0)
    await page.goto('/watching')
    await page.getByText('You have seen everything').waitFor()
    const low = await page.evaluate(() => {
      const small = [...document.querySelectorAll('.sheet :is(a, button)')].map((element) => element.getBoundingClientRect()).filter(({ height }) => height > 0 && height < 24)
      return small.length
    })
    assert.equal(low, 0, 'everything can be hit with a finger')
  })
})
