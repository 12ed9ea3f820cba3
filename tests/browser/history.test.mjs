// A page's history in a browser: what changed lately, differences, and an old text that comes back while somebody types.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Reader, agree, anyOf, goneNoise, missingNoise, only } from './harness/browser.mjs'
import { slowness, until } from './harness/processes.mjs'
import { encodePath } from './harness/server.mjs'
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

  it('keeps a filtered list filtered while it is brought up to date, and on the way back', limit(60), async () => {
    for (const path of ['Sieve', 'Sieve/one', 'Elsewhere']) await wiki.server.put(path, 'Text.\n')
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    await page.goto('/recent')
    await page.getByLabel('Page, with all below it').fill('sieve')
    await page.getByRole('button', { name: 'Filter' }).click()
    await page.waitForURL('**/recent?below=sieve')
    const list = new Reader(page)
    await list.reaches(['stream'], { seconds: 10 })
    await list.mark()
    const rows = async () => (await page.locator('.revision-page > a').allInnerTexts()).sort()
    assert.deepEqual(await rows(), ['Sieve', 'one'])
    // What is typed and not sent stays in the field, and is not what is shown.
    await page.getByLabel('Page, with all below it').fill('sieve/o')
    await page.getByLabel('Only named revisions').check()
    await wiki.server.put('Elsewhere too', 'Text.\n')
    await wiki.server.put('Sieve/two', 'Text.\n')
    await until(async () => (await rows()).includes('two'), { seconds: 15, what: async () => `the new page is listed: ${await rows()}` })
    assert.deepEqual(await rows(), ['Sieve', 'one', 'two'])
    assert.equal(await page.getByLabel('Page, with all below it').inputValue(), 'sieve/o')
    assert.ok(await page.getByLabel('Only named revisions').isChecked())
    await list.assertNeverReloaded()
    const name = page.locator('.revision', { hasText: 'Sieve/two' }).locator('.revision-author').first()
    await name.click()
    await page.waitForURL(/author=[0-9a-f]{12}&below=sieve$/)
    await page.locator('.revision').first().waitFor()
    assert.deepEqual(await rows(), ['two'])
    await page.getByRole('checkbox', { name: /^By /, checked: true }).waitFor()
    await page.goBack()
    await page.waitForURL('**/recent?below=sieve')
    await until(async () => (await rows()).length === 3, { seconds: 10, what: async () => `the list is as it was: ${await rows()}` })
  })

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

  it('shows what differs in the source in both forms, wide and on a phone', limit(60), async () => {
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
      for (const form of ['Inline', 'Side by side']) {
        await page.getByRole('link', { name: form }).click()
        await page.locator(`.segments a[aria-current]`, { hasText: form }).waitFor()
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

  it('compares any two revisions that are chosen in the list, in whatever order', limit(60), async () => {
    /** @type {number[]} */
    const revs = []
    for (const text of ['One.\n', 'Two.\n', 'Three.\n', 'Four.\n']) {
      const { revision } = await wiki.server.put('Chosen', text, revs.at(-1))
      revs.push(revision)
      // To name a revision closes it.
      const body = new URLSearchParams({ rev: String(revision), name: `draft ${revision}` })
      const named = await fetch(`${wiki.server.url}/history/Chosen`, { method: 'POST', body, redirect: 'manual', headers: { origin: wiki.server.url } })
      assert.equal(named.status, 303)
    }
    const anna = await wiki.people.person(wiki.server.url, { viewport: { width: 390, height: 800 } })
    const page = await anna.context.newPage()
    await page.goto('/history/Chosen')
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(over <= 0, `${over} px too wide`)
    await page.getByLabel(`Compare from revision ${revs[2]}`).check()
    await page.getByLabel(`Compare up to revision ${revs[0]}`).check()
    await page.getByRole('button', { name: 'Compare the two chosen' }).click()
    await page.getByRole('heading', { name: 'Changes' }).waitFor()
    const { pathname, searchParams } = new URL(page.url())
    assert.deepEqual([pathname, searchParams.get('from'), searchParams.get('to')], ['/diff/Chosen', String(revs[0]), String(revs[2])])
    assert.match(await page.locator('.diff').innerText(), /One\.[^]*Three\./)
  })

  it('tells lines that were moved from lines that came and went', limit(60), async () => {
    const block = '## A part that goes elsewhere\n\n- a\n- b\n\n'
    const rest = 'One paragraph.\n\nAnother paragraph.\n\nA third paragraph.\n\n'
    const { revision: from } = await wiki.server.put('Moves', `${block}${rest}`)
    const { revision: to } = await wiki.server.put('Moves', `${rest}${block}`, from)
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    for (const view of ['', '&view=split']) {
      for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        await page.emulateMedia({ colorScheme })
        await page.goto(`/diff/Moves?from=${from}&to=${to}${view}`)
        const labels = await page.locator('.diff-moved').allInnerTexts()
        assert.equal(labels.length, 2, `one for the block on each side: ${labels.join(', ')}`)
        assert.match(labels.join(' '), /moved (to|from) lines \d+ to \d+/)
        const fills = await page.locator('.diff-line').evaluateAll((all) => all.map((cell) => [cell.className, getComputedStyle(cell).backgroundColor]))
        const of = (/** @type {RegExp} */ kind) => fills.filter(([name]) => kind.test(name)).map(([, colour]) => colour)
        assert.equal(new Set(of(/moved/)).size, 1, 'neither the colour of what came nor of what is gone')
        assert.ok(!of(/(gone|came)$/).includes(of(/moved/)[0]))
      }
    }
  })

  it('shows what differs as people read the page, wide and on a phone, light and dark, and not by colour alone', limit(90), async () => {
    const long = 'wide '.repeat(30)
    const before = `# Title\n\nOne two three four.\n\n| a | b |\n|---|---|\n| ${long} | 1 |\n\n- [ ] a task to do\n- a line that stays\n\nA paragraph that goes somewhere else.\n\n\`\`\`\nlet code = ${'x'.repeat(200)}\n\`\`\`\n\nLast.\n`
    const { revision: from } = await wiki.server.put('Reads', before)
    const after = before
      .replace('two', '2')
      .replace('| 1 |', '| 7 |')
      .replace('[ ]', '[x]')
      .replace('A paragraph that goes somewhere else.\n\n', '')
      .replace('Last.', 'Last.\n\nA paragraph that goes somewhere else.')
    const anna = await wiki.people.person(wiki.server.url)
    const { revision: to } = await wiki.server.put('Reads', after, from)
    const page = await anna.context.newPage()
    for (const scheme of /** @type {const} */ (['light', 'dark'])) {
      await page.emulateMedia({ colorScheme: scheme })
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 800 })
        await page.goto(`/diff/Reads?from=${from}&to=${to}`)
        await page.getByRole('link', { name: 'Rendered', exact: true }).click()
        const shown = page.locator('.diff-rendered')
        await shown.waitFor()
        const { searchParams } = new URL(page.url())
        assert.deepEqual([searchParams.get('from'), searchParams.get('to'), searchParams.get('view')], [`${from}`, `${to}`, 'rendered'])
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(over <= 0, `${scheme} at ${width} px is ${over} px too wide`)
        assert.equal(await shown.locator('p del').first().innerText(), 'two')
        assert.equal(await shown.locator('p ins').first().innerText(), '2')
        const drawn = await shown.evaluate((root) => {
          const line = (/** @type {string} */ selector) => {
            const found = root.querySelector(selector)
            return found ? getComputedStyle(found).textDecorationLine : 'none of them'
          }
          return [line('p del'), line('p ins')]
        })
        assert.deepEqual(drawn, ['line-through', 'underline'])
        // Every block that is not the same says so in words.
        const labels = await shown.locator('.diff-label').allInnerTexts()
        assert.equal(labels.filter((label) => label === 'Changed').length, 3, labels.join(', '))
        assert.ok(labels.some((label) => label.startsWith('Moved further down')), labels.join(', '))
        assert.ok(labels.some((label) => label.startsWith('Moved here')), labels.join(', '))
        const boxes = await shown.locator('li input').evaluateAll((all) => all.map((box) => box.getBoundingClientRect().left))
        assert.equal(new Set(boxes).size, boxes.length, 'no box lies on another')
      }
    }
    await page.getByRole('link', { name: 'See it there' }).click()
    assert.match(await page.locator('.diff-block:target').innerText(), /Moved here[^]*somewhere else/)
    const ids = await page.evaluate(() => [...document.querySelectorAll('[id]')].map(({ id }) => id))
    assert.equal(new Set(ids).size, ids.length, `each id once: ${ids.join(' ')}`)
    assert.ok(ids.every((id) => !id.startsWith('user-')), ids.join(' '))
  })

  it('shows both renderings side by side, and one below the other on a phone', limit(60), async () => {
    const { revision: from } = await wiki.server.put('Beside', `# Title\n\nOne two three four.\n\nGone for good.\n\n\`\`\`\nlet code = ${'x'.repeat(200)}\n\`\`\`\n\nLast.\n`)
    const { revision: to } = await wiki.server.put('Beside', `# Title\n\nOne 2 three four.\n\nNew here, and not at all alike.\n\n\`\`\`\nlet more = ${'x'.repeat(200)}\n\`\`\`\n\nLast.\n`, from)
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
      await page.emulateMedia({ colorScheme })
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 800 })
        await page.goto(`/diff/Beside?from=${from}&to=${to}&view=rendered`)
        await page.getByRole('link', { name: 'Side by side' }).click()
        await page.locator('.diff-pair del').first().waitFor()
        assert.equal(new URL(page.url()).searchParams.get('view'), 'rendered-split')
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(over <= 0, `${width} px is ${over} px too wide`)
        const boxes = await page.locator('.diff-pair:not(.diff-heads)').evaluateAll((pairs) =>
          pairs.map((pair) => [...pair.children].map((side) => ({ text: side.textContent?.replace(/\s+/g, ' ').trim() ?? '', ...side.getBoundingClientRect().toJSON() }))),
        )
        const [[oldTitle, newTitle], [was, is], [gone, came]] = boxes
        assert.deepEqual([was.text, is.text], ['Before One two three four.', 'After One 2 three four.'])
        assert.match(gone.text, /^Removed Gone for good/)
        assert.match(came.text, /^Added New here/)
        if (width === 1280) {
          assert.equal(was.top, is.top)
          assert.ok(was.right <= is.left)
          assert.equal(oldTitle.text, newTitle.text)
        } else {
          assert.ok(was.bottom <= is.top && was.left === is.left)
          assert.equal(oldTitle.height, 0, 'what is the same is shown once')
        }
        const marks = await page.locator('.diff-pair').evaluateAll((pairs) => [pairs.some((pair) => pair.querySelector(':scope > :first-child ins')), pairs.some((pair) => pair.querySelector(':scope > :last-child del'))])
        assert.deepEqual(marks, [false, false], 'each side has its own marks only')
      }
    }
  })

  it('says that two large texts with nothing in common are compared coarsely, in bounded time', limit(120), async () => {
    const text = (/** @type {number} */ step) => Array.from({ length: 60_000 }, (_, n) => `${(n * step) % 7919} ${(n * step) % 101}\n\n`).join('')
    const { revision: from } = await wiki.server.put('Unrelated', text(17))
    const { revision: to } = await wiki.server.put('Unrelated', text(4001), from)
    const anna = await wiki.people.person(wiki.server.url)
    const page = await anna.context.newPage()
    for (const view of ['', '&view=split', '&view=rendered', '&view=rendered-split']) {
      const begun = Date.now()
      const answer = await page.goto(`/diff/Unrelated?from=${from}&to=${to}${view}`)
      assert.equal(answer?.status(), 200)
      await page.getByText('They were compared coarsely').waitFor()
      await page.getByText('There is more that differs').waitFor()
      // Without a limit it takes minutes.
      assert.ok(Date.now() - begun < 30_000 * slowness, `${view} took ${Date.now() - begun} ms`)
    }
  })

  it('keeps what a deleted page was, tells who deleted it, and brings it back from its history', limit(60), async () => {
    await wiki.server.put('Kept', 'Kept text.\n')
    const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url, { allow: missingNoise('Kept') })))
    const lately = await ben.context.newPage()
    await lately.goto('/recent')
    const list = new Reader(lately)
    await list.reaches(['stream'], { seconds: 10 })
    await list.mark()
    const page = await anna.context.newPage()
    await page.goto('/delete/Kept')
    const name = await page.evaluate(() => JSON.parse(document.body.dataset.you ?? '{}').name)
    await page.getByRole('button', { name: 'Delete the page' }).click()
    await page.getByRole('heading', { name: 'This page was deleted' }).waitFor()
    const turn = (/** @type {string} */ words) => lately.locator('.revision.turn', { hasText: words }).first()
    await until(async () => (await turn('Deleted by').count()) > 0, { seconds: 15, what: 'the deletion is told' })
    assert.ok((await turn('Deleted by').innerText()).includes(name))
    await page.getByRole('link', { name: 'History' }).click()
    await page.getByText(`This page was deleted by ${name}`).waitFor()
    await page.getByRole('link', { name: /^Changes of revision/ }).first().click()
    await page.locator('.diff').getByText('Kept text.').waitFor()
    await page.goBack()
    await page.getByRole('button', { name: 'Bring back the page' }).click()
    await page.waitForURL('**/wiki/Kept')
    await page.locator('#page').getByText('Kept text.').waitFor()
    await until(async () => (await turn('Brought back by').count()) > 0, { seconds: 15, what: 'the restoration is told' })
    await turn('Brought back by').getByRole('link', { name: 'History of Kept' }).click()
    await lately.getByRole('heading', { name: 'History' }).waitFor()
  })

  /**
   * Types different letters until told to stop, so that each can be found again; gives them all.
   * @param {import('./harness/browser.mjs').Editor} editor @param {number} from where the alphabet begins
   */
  function typist(editor, from) {
    let [stopped, typed] = [false, '']
    const run = (async () => {
      // Letters of no language that is written here, each once.
      for (let n = 0; !stopped && n < 900; n += 1) {
        const letter = String.fromCodePoint(from + n)
        typed += letter
        await editor.page.keyboard.insertText(letter)
        await editor.page.waitForTimeout(30)
      }
    })()
    return {
      typed: () => typed,
      async stop() {
        stopped = true
        await run
        return typed
      },
    }
  }
  const hangul = 0xac00
  const cuneiform = 0x12000
  const isHangul = /\p{Script=Hangul}/u
  const isCuneiform = /\p{Script=Cuneiform}/u

  /** The text of each revision of a page. @param {string} path @param {number} from */
  async function revisions(path, from) {
    const texts = []
    for (let rev = from; rev <= (await wiki.server.revision(path)); rev += 1) {
      texts.push(await (await fetch(`${wiki.server.url}/raw/${encodePath(path)}?rev=${rev}`)).text())
    }
    return texts
  }

  /** The last revisions, for whoever has to find out what happened. @param {string} path @param {number} from */
  const told = async (path, from) => (await revisions(path, from)).map((text, n) => `\n${from + n} ${JSON.stringify(text)}`).join('')

  it('brings an old text back as an edit, while two go on typing, and loses nothing of what they type then', limit(90), async () => {
    await wiki.server.put('Comes back', 'First text.\n\nSecond text.\n')
    const [anna, ben, cid] = await Promise.all([1, 2, 3].map(() => wiki.people.person(wiki.server.url)))
    const [a, c] = await Promise.all([anna.edit('Comes back'), cid.edit('Comes back')])
    await a.placeCaret('First text.')
    await a.type(' Something that goes away.')
    await a.saved()
    await Promise.all([a.mark(), c.mark()])
    const before = await wiki.server.revision('Comes back')
    const page = await ben.context.newPage()
    await page.goto('/diff/Comes%20back?from=1')
    await c.placeCaret('end')
    const typists = [typist(a, hangul), typist(c, cuneiform)]
    await until(() => typists.every((typist) => typist.typed().length > 20), { what: 'both type' })
    await page.getByRole('button', { name: 'Bring back revision 1' }).click()
    await page.waitForURL('**/wiki/Comes%20back')
    await until(async () => !(await a.text()).includes('goes away') && !(await c.text()).includes('goes away'), { what: async () => `both see the old text: ${await told('Comes back', before)}` })
    const after = typists.map((typist) => [...typist.typed()].length)
    await until(() => typists.every((typist, n) => [...typist.typed()].length > after[n] + 20), { what: 'both go on typing' })
    const [hers, his] = await Promise.all(typists.map((typist) => typist.stop()))
    const text = await agree(wiki.server, 'Comes back', [a, c], { seconds: 15 })
    await Promise.all([a.assertNeverReloaded(), c.assertNeverReloaded()])

    // It was one more edit among theirs, and whatever is gone was there in the edit before it.
    const texts = await revisions('Comes back', before)
    const at = texts.findIndex((text) => !text.includes('goes away'))
    assert.ok(at > 0 && at < texts.length - 1, `an edit among others: ${at} of ${texts.length}`)
    assert.equal(texts.at(-1), text)
    for (const [typed, alphabet] of /** @type {const} */ ([[hers, isHangul], [his, isCuneiform]])) {
      const left = only(texts[at], alphabet)
      const lost = [...only(texts[at - 1], alphabet)].filter((letter) => !left.includes(letter)).join('')
      const kept = only(text, alphabet)
      assert.equal(lost + kept, typed, 'what was not there when the old text came back stays, in its order')
      assert.ok(kept.length > 20)
    }
    const rest = [...text].filter((letter) => !isHangul.test(letter) && !isCuneiform.test(letter)).join('')
    assert.equal(rest, 'First text.\n\nSecond text.\n')
    await page.goto('/history/Comes%20back')
    assert.match(await page.locator('.revisions').first().innerText(), /still being written/)
  })

  it('takes back what one person wrote, while another goes on typing in the middle of it', limit(90), async () => {
    await wiki.server.put('Taken back', 'First text.\n\nSecond text.\n')
    const [anna, ben, cid] = await Promise.all([1, 2, 3].map(() => wiki.people.person(wiki.server.url)))
    const from = await wiki.server.revision('Taken back')
    const spam = await ben.edit('Taken back')
    await spam.placeCaret('First text.')
    await spam.type(' Spam and more spam.')
    await spam.placeCaret('Second')
    for (let n = 0; n < 'Second'.length; n += 1) await spam.page.keyboard.press('Backspace')
    await spam.saved()
    await agree(wiki.server, 'Taken back', [spam])
    const to = await wiki.server.revision('Taken back')
    const name = await spam.page.evaluate(() => JSON.parse(document.body.dataset.you ?? '{}').name)
    const a = await anna.edit('Taken back')
    await a.placeCaret('Spam and')
    await Promise.all([a.mark(), spam.mark()])
    const page = await cid.context.newPage()
    await page.goto(`/diff/Taken%20back?from=${from}&to=${to}`)
    const typing = typist(a, hangul)
    await until(() => typing.typed().length > 20, { what: 'she types' })
    await page.getByRole('button', { name: `Undo what ${name} did here` }).click()
    await page.waitForURL('**/wiki/Taken%20back')
    await until(async () => !(await a.text()).includes('spam'), { what: async () => `she sees it: ${await told('Taken back', to)}` })
    const after = typing.typed().length
    await until(() => typing.typed().length > after + 20, { what: 'she goes on typing' })
    const typed = await typing.stop()
    const text = await agree(wiki.server, 'Taken back', [a, spam], { seconds: 15 })
    await Promise.all([a.assertNeverReloaded(), spam.assertNeverReloaded()])
    assert.equal(text, `First text.${typed}\n\nSecond text.\n`, 'all of hers, nothing of his, and what he deleted')
    // He goes on as well.
    await spam.placeCaret('end')
    await spam.type('Sorry.')
    await spam.saved()
    assert.equal(await agree(wiki.server, 'Taken back', [a, spam]), `${text}Sorry.`)
  })

  it('brings a deleted page back with an old text while somebody has it open, who has typed on', limit(90), async () => {
    await wiki.server.put('Open and gone', 'First text.\n')
    const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url, { allow: anyOf(goneNoise, missingNoise('Open and gone')) })))
    const a = await anna.edit('Open and gone')
    await a.placeCaret('end')
    await a.type('Something that goes away.\n')
    await a.saved()
    await a.mark()
    const page = await ben.context.newPage()
    await page.goto('/delete/Open%20and%20gone')
    await page.getByRole('button', { name: 'Delete the page' }).click()
    await page.getByRole('heading', { name: 'This page was deleted' }).waitFor()
    await a.page.getByText('This page has been deleted').waitFor()
    await a.type('Typed while it was gone.')
    await page.goto('/diff/Open%20and%20gone?from=1')
    await page.getByText('This page was deleted by').waitFor()
    await page.getByRole('button', { name: 'Bring back revision 1' }).click()
    await page.waitForURL('**/wiki/Open%20and%20gone')
    await a.page.getByText('This page has been deleted').waitFor({ state: 'detached' })
    await a.type(' And after it.')
    await a.saved({ seconds: 30 })
    const text = await agree(wiki.server, 'Open and gone', [a], { seconds: 15 })
    assert.equal(text, 'First text.\nTyped while it was gone. And after it.')
    await a.assertNeverReloaded()
    const reader = new Reader(page)
    await reader.sees('Typed while it was gone. And after it.')
  })

  it('answers what cannot be compared without a trace of what it is', limit(60), async () => {
    await wiki.server.put('Known', 'A secret of this page.\n')
    const ask = async (/** @type {string} */ path) => {
      const answer = await fetch(`${wiki.server.url}${path}`, { redirect: 'manual', headers: { accept: 'text/html' } })
      return { status: answer.status, to: answer.headers.get('location'), body: await answer.text() }
    }
    for (const view of ['', '&view=split', '&view=rendered', '&view=rendered-split']) {
      const unknown = await ask(`/diff/Known?from=1&to=99${view}`)
      assert.equal(unknown.status, 404, view)
      assert.ok(!unknown.body.includes('secret'))
      assert.deepEqual([(await ask(`/diff/Known?from=1&to=0${view}`)).status, (await ask(`/diff/Known?from=1&to=0${view}`)).to], [303, `/diff/Known?from=0&to=1${view}`])
      assert.equal((await ask(`/diff/Known?from=x&to=1${view}`)).status, 400)
      assert.equal((await ask(`/diff/Unknown?from=0&to=1${view}`)).status, 404)
    }
    assert.equal((await ask('/diff/Known?from=0&to=1&view=nothing')).status, 200, 'an unknown form is the first one')
  })
})
