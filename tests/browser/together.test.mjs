// Several people write and read one page at once, on each rung of the ladder, with the same assertions.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { agree, only } from './harness/browser.mjs'
import { slowness, until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

/** `seconds`: how soon a reader must see what was typed; on `poll` one interval (2 s ± 10 %) and a request. */
const rungs = [
  { live: 'stream', seconds: 1 },
  { live: 'hold', seconds: 1 },
  { live: 'poll', seconds: 2.2 + 0.8 },
]

describe('several people on one page', () => {
  const wiki = useWiki()

  for (const { live, seconds } of rungs) {
    it(`two write at once and a third reads along, on ${live}`, limit(120), async () => {
      const path = `Together on ${live}`
      await wiki.server.put(path, 'Beginning.\n\nMiddle.\n\nEnd: ')
      const [anna, ben, cleo] = await Promise.all([1, 2, 3].map(() => wiki.people.person(wiki.server.url)))
      const reader = await cleo.read(path, { live })
      const [a, b] = await Promise.all([anna.edit(path, { live }), ben.edit(path, { live })])
      for (const window of [reader, a, b]) {
        await window.reaches([live], { seconds: 10 })
        await window.mark()
      }
      assert.equal(await a.text(), 'Beginning.\n\nMiddle.\n\nEnd: ')
      // Whoever was alone until now polls each 5 s, and hears of company by the next poll.
      if (live === 'poll') await until(async () => /every 2 s/.test((await reader.live()).text), { what: async () => `the reader polls as in company: ${(await reader.live()).text}` })

      // The reader sees each word within the time that the rung promises.
      /** @type {number[]} */
      const delays = []
      await a.placeCaret('end')
      for (const word of ['quick', 'brown', 'fox', 'jumps', 'over']) {
        await a.type(`${word} `)
        delays.push(await reader.sees(word, { seconds: seconds * 3 }))
      }
      delays.sort((x, y) => x - y)
      console.log(`# ${live}: reader saw a word after ${delays.map((delay) => `${Math.round(delay * 1000)} ms`).join(', ')}`)
      assert.ok(delays[delays.length - 1] < seconds * slowness, `within ${seconds} s: ${delays}`)

      // At the same place at once: letters of one, digits of the other; none lost, none doubled, order kept.
      await Promise.all([a.placeCaret('End: '), b.placeCaret('End: ')])
      const letters = 'ÄÖÜßÇÑØÅÆŁ'.repeat(4)
      const digits = '0123456789'.repeat(4)
      await Promise.all([a.type(letters), b.type(digits)])
      // At different places at once.
      await Promise.all([a.placeCaret('start'), b.placeCaret('end')])
      await Promise.all([a.type('<<<<<<<<<<'), b.type('==========')])
      const text = await agree(wiki.server, path, [a, b], { seconds: 10 + seconds })
      assert.equal(only(text, /[ÄÖÜßÇÑØÅÆŁ]/), letters)
      assert.equal(only(text, /\d/), digits)
      assert.ok(text.startsWith('<<<<<<<<<<Beginning.'), text)
      assert.ok(text.trimEnd().endsWith('=========='), text)

      // The reader's text is what the server renders of it.
      const fresh = await cleo.read(path, { live: 'off' })
      const rendered = await fresh.text()
      await fresh.page.close()
      assert.ok(rendered.includes('==========') && rendered.includes('quick'), rendered)
      await until(async () => (await reader.text()) === rendered, {
        seconds: seconds * 3,
        what: async () => `the reader shows what a fresh page shows: ${JSON.stringify([await reader.text(), rendered])}`,
      })

      // Each editor shows the other's caret with the other's name.
      const names = await Promise.all([anna, ben].map((person) => yourName(person)))
      await Promise.all([a.placeCaret('Beginning'), b.placeCaret('Middle')])
      await until(async () => (await a.carets()).some((name) => name.includes(names[1])), {
        seconds: seconds + 3,
        what: `Anna sees the caret of ${names[1]}`,
      })
      await until(async () => (await b.carets()).some((name) => name.includes(names[0])), {
        seconds: seconds + 3,
        what: `Ben sees the caret of ${names[0]}`,
      })
      // The reader sees who is here.
      for (const name of names) {
        await until(async () => (await reader.people()).some((label) => label.includes(name)), {
          seconds: seconds + 3,
          what: () => `the reader sees ${name} in the list`,
        })
      }

      for (const window of [reader, a, b]) {
        await window.assertNeverReloaded()
        assert.equal((await window.live()).rung, live)
      }
    })
  }

  it('undo takes back only what you wrote yourself', limit(), async () => {
    await wiki.server.put('Undo', 'Start ')
    const [anna, ben] = await Promise.all([wiki.people.person(wiki.server.url), wiki.people.person(wiki.server.url)])
    const [a, b] = await Promise.all([anna.edit('Undo'), ben.edit('Undo')])
    await a.placeCaret('end')
    await a.type('mine')
    await b.sees('mine')
    await b.placeCaret('start')
    await b.type('theirs ')
    await a.sees('theirs')
    await a.page.keyboard.press('Control+z')
    const text = await agree(wiki.server, 'Undo', [a, b])
    assert.ok(text.includes('theirs') && text.includes('Start') && !text.includes('mine'), text)
  })

  it('whoever opens a page while others write has everything', limit(), async () => {
    await wiki.server.put('Late', '')
    const [anna, ben] = await Promise.all([wiki.people.person(wiki.server.url), wiki.people.person(wiki.server.url)])
    const a = await anna.edit('Late')
    const typing = a.type('The words keep coming while somebody opens the page and reads it as well.', { delay: 30 })
    const [b, reader] = await Promise.all([ben.edit('Late'), ben.read('Late')])
    await typing
    assert.equal(await agree(wiki.server, 'Late', [a, b]), 'The words keep coming while somebody opens the page and reads it as well.')
    await reader.sees('reads it as well')
  })

  it('a name that changes changes for everybody', limit(), async () => {
    await wiki.server.put('Names', 'Who is here?')
    const [anna, ben] = await Promise.all([wiki.people.person(wiki.server.url), wiki.people.person(wiki.server.url)])
    const a = await anna.edit('Names')
    const b = await ben.read('Names')
    const form = await anna.context.newPage()
    await form.goto('/name')
    await form.fill('input[name="name"]', 'Anna Ångström')
    await form.locator('form:has(input[name="name"]) [type="submit"]').click()
    await form.close()
    await a.page.reload()
    await a.ready()
    await until(async () => (await b.people()).some((name) => name.includes('Anna Ångström')), { what: 'the new name is in the list' })
  })
})

/** The name that the wiki gave somebody. @param {import('./harness/browser.mjs').Person} person */
function yourName(person) {
  return person.context.pages()[0].evaluate(() => JSON.parse(document.body.dataset.you ?? '{}').name)
}
