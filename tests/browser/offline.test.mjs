// What is typed is there once, whatever happens to the server, the network, the window or the login.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { agree, anyOf, networkNoise, only, workerNoise } from './harness/browser.mjs'
import { long, until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

/** Where the server goes away, a window may just be asking for its service worker too. */
const awayNoise = anyOf(networkNoise, workerNoise)

/**
 * What is sent under an id that belongs to another login is refused, and sent again as one's own: text, and the beat
 * of this window.
 */
const foreignNoise = anyOf(
  /^warning: halley: the server refused an update: 409 forged \(http:\S+\/js\/editor\/session\.js\)$/,
  /^error: Failed to load resource: the server responded with a status of 409 \(Conflict\) \(http:\S+\/_live\/pages\/\d+\/updates\?[^)]*\)$/,
  /^error: Failed to load resource: the server responded with a status of 403 \(Forbidden\) \(http:\S+\/_live\/beat\)$/,
)

/** How long somebody types without a server: a minute in the long form. */
const offlineSeconds = long ? 60 : 8

describe('typing without a server', () => {
  const wiki = useWiki({ serverFor: 'each' })

  /** Digits for so many seconds; what was typed. @param {import('./harness/browser.mjs').Editor} editor @param {number} seconds */
  async function typeFor(editor, seconds) {
    const end = Date.now() + seconds * 1000
    let typed = ''
    for (let count = 0; Date.now() < end; count++) {
      const word = `${String(count).padStart(3, '0')} `
      await editor.type(word, { delay: 20 })
      typed += word
    }
    return typed
  }

  it(`${offlineSeconds} s of typing, a reload, and the server's return leave every character there once`, limit(offlineSeconds + 120), async () => {
    await wiki.server.put('Offline', 'Words: ')
    const anna = await wiki.people.person(wiki.server.url, { allow: awayNoise })
    const a = await anna.edit('Offline')
    await a.placeCaret('end')
    await a.type('before ')
    await a.saved()
    await wiki.server.stop()
    const typed = await typeFor(a, offlineSeconds)
    await a.becomes('offline', { seconds: 20 })
    assert.match(await a.saveStatus(), /not saved|offline/i)
    assert.equal(await a.text(), `Words: before ${typed}`)
    await a.keeps(typed)

    // The reload works without the server, from the service worker's cache, and the text is there.
    anna.context.on('dialog', (dialog) => void dialog.accept())
    await a.page.reload()
    await a.ready()
    await until(async () => (await a.text()) === `Words: before ${typed}`, {
      what: async () => `the text is back after the reload: ${await a.text()}`,
    })
    await a.placeCaret('end')
    await a.type('reloaded ')

    await wiki.server.start()
    await a.saved({ seconds: 45 })
    assert.equal(await agree(wiki.server, 'Offline', [a]), `Words: before ${typed}reloaded `)
  })

  it('a reload that begins without a server and ends with one keeps every character once', limit(120), async () => {
    await wiki.server.put('Reload', 'Words: ')
    const anna = await wiki.people.person(wiki.server.url, { allow: awayNoise })
    const a = await anna.edit('Reload')
    anna.context.on('dialog', (dialog) => void dialog.accept())
    await wiki.server.kill()
    await a.placeCaret('end')
    await a.type('typed into the void ')
    await a.keeps('typed into the void ')
    await wiki.server.start()
    await a.page.reload()
    await a.ready()
    await a.saved({ seconds: 45 })
    assert.equal(await agree(wiki.server, 'Reload', [a]), 'Words: typed into the void ')
  })

  it('a browser that crashes with unsent text has it when it is opened again', limit(120), async () => {
    await wiki.server.put('Crash', 'Words: ')
    const { person: anna, folder } = await wiki.people.keeper(wiki.server.url, { allow: awayNoise })
    const a = await anna.edit('Crash')
    await wiki.server.kill()
    await a.placeCaret('end')
    await a.type('not lost ')
    await a.keeps('not lost ')
    await a.page.goto('chrome://crash').catch(() => {})
    await anna.close()

    await wiki.server.start()
    const { person: again } = await wiki.people.keeper(wiki.server.url, { allow: awayNoise, folder })
    const b = await again.edit('Crash')
    await b.saved({ seconds: 45 })
    assert.equal(await agree(wiki.server, 'Crash', [b]), 'Words: not lost ')
  })

  it('a server that is killed again and again while two people type loses and doubles nothing', limit(240), async () => {
    await wiki.server.put('Killed', '[ ]')
    const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url, { allow: awayNoise })))
    const [a, b] = await Promise.all([anna.edit('Killed'), ben.edit('Killed')])
    await Promise.all([a.placeCaret('['), b.placeCaret('end')])
    const letters = 'ÄÖÜßÇÑØÅÆŁ'.repeat(long ? 40 : 16)
    const digits = '0123456789'.repeat(long ? 40 : 16)
    let typing = true
    const both = Promise.all([a.type(letters, { delay: 60 }), b.type(digits, { delay: 60 })]).finally(() => {
      typing = false
    })
    let kills = 0
    while (typing) {
      // The rhythm of the kills: each hits the typing somewhere else.
      await new Promise((resolve) => setTimeout(resolve, 1500))
      await wiki.server.kill()
      kills += 1
      await wiki.server.start()
    }
    await both
    await Promise.all([a.saved({ seconds: 60 }), b.saved({ seconds: 60 })])
    const text = await agree(wiki.server, 'Killed', [a, b], { seconds: 60 })
    console.log(`# ${kills} kills while ${letters.length + digits.length} characters were typed`)
    assert.equal(only(text, /[ÄÖÜßÇÑØÅÆŁ]/), letters)
    assert.equal(only(text, /\d/), digits)
  })

  it('two windows of one browser on one page do not mix up what is unsent', limit(120), async () => {
    await wiki.server.put('Two tabs', '[ ]')
    const anna = await wiki.people.person(wiki.server.url, { allow: awayNoise })
    const a = await anna.edit('Two tabs')
    const b = await anna.edit('Two tabs')
    await wiki.server.kill()
    anna.context.on('dialog', (dialog) => void dialog.accept())
    await a.page.bringToFront()
    await a.placeCaret('[')
    await a.type('first window')
    await b.page.bringToFront()
    await b.placeCaret('end')
    await b.type('second window')
    await Promise.all([a.keeps('first window'), b.keeps('second window')])
    // One window is closed with its text unsent, the other is reloaded.
    await a.page.close({ runBeforeUnload: false })
    await wiki.server.start()
    await b.page.reload()
    await b.ready()
    await b.saved({ seconds: 45 })
    await until(async () => (await wiki.server.raw('Two tabs')).includes('first window'), {
      seconds: 45,
      what: async () => `what the closed window had is saved too: ${await wiki.server.raw('Two tabs')}`,
    })
    const text = await agree(wiki.server, 'Two tabs', [b], { seconds: 20 })
    assert.equal(text, '[first window ]second window')
  })

  it('a login that changed meanwhile loses no text', limit(120), async () => {
    await wiki.server.put('Login', 'Words: ')
    const anna = await wiki.people.person(wiki.server.url, { allow: awayNoise })
    const a = await anna.edit('Login')
    await wiki.server.kill()
    await a.placeCaret('end')
    await a.type('typed as somebody else ')
    await a.keeps('typed as somebody else ')
    await anna.context.clearCookies()
    await wiki.server.start()
    anna.context.on('dialog', (dialog) => void dialog.accept())
    await a.page.reload()
    await a.ready()
    // Either it is saved as an edit of the present login, or it is offered as a copy; it is visible in both cases.
    await until(
      async () =>
        (await wiki.server.raw('Login')).includes('typed as somebody else') ||
        (await a.page.locator('#notices').textContent())?.includes('typed as somebody else') ||
        (await a.page.locator('#notices button, #notices a').count()) > 0,
      { seconds: 30, what: 'the text is saved or offered' },
    )
    const raw = await wiki.server.raw('Login')
    assert.ok(raw.split('typed as somebody else').length <= 2, raw)
  })

  it('a login that changes under an open window loses no text', limit(120), async () => {
    await wiki.server.put('Login changes', 'Words: ')
    const anna = await wiki.people.person(wiki.server.url, { allow: foreignNoise })
    const a = await anna.edit('Login changes')
    await a.placeCaret('end')
    await a.type('one ')
    await a.saved()
    await anna.context.clearCookies()
    await a.type('two ')
    await a.saved({ seconds: 30 })
    assert.equal(await agree(wiki.server, 'Login changes', [a], { seconds: 20 }), 'Words: one two ')
  })

  it('leaving with unsaved text warns, leaving with saved text does not', limit(), async () => {
    await wiki.server.put('Leaving', 'Words: ')
    const anna = await wiki.people.person(wiki.server.url, { allow: awayNoise })
    const a = await anna.edit('Leaving')
    /** @type {string[]} */
    const dialogs = []
    anna.context.on('dialog', (dialog) => {
      dialogs.push(dialog.type())
      void dialog.accept()
    })
    await a.placeCaret('end')
    await a.type('saved ')
    await a.saved()
    await a.page.goto('/pages')
    assert.deepEqual(dialogs, [])
    await a.page.goBack()
    await a.ready()
    await wiki.server.kill()
    await a.placeCaret('end')
    await a.type('unsaved ')
    await a.page.reload().catch(() => {})
    assert.deepEqual(dialogs, ['beforeunload'])
    await wiki.server.start()
  })

  it('SIGTERM ends every stream and the server within 5 s', limit(), async () => {
    await wiki.server.put('Term', 'Words: ')
    const anna = await wiki.people.person(wiki.server.url, { allow: awayNoise })
    const a = await anna.edit('Term')
    await anna.read('Term')
    await a.reaches(['stream'])
    const took = await wiki.server.stop()
    assert.ok(took < 5000, `${took} ms`)
    await wiki.server.start()
    await a.reaches(['stream'], { seconds: 30 })
  })
})
