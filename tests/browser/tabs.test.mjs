// Many tabs of one browser share one connection; a tab that is hidden, frozen, killed or asleep loses nothing, leaves
// no ghost in the list of people, and is right again soon after it has come back.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { agree, networkNoise } from './harness/browser.mjs'
import { long, slowness, until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

/** @typedef {import('./harness/browser.mjs').Person} Person */
/** @typedef {import('./harness/browser.mjs').Reader} Reader */
/** @typedef {import('./harness/browser.mjs').Editor} Editor */

/** Seconds within which a tab that has come back must be right. */
const BACK = 2

/** How long the computer sleeps, in seconds: a minute in the long form, longer than a lease. */
const asleepSeconds = long ? 60 : 8

/** How tabs share, and what the browser lacks then. */
const modes = [
  { mode: 'a worker', lacks: [] },
  { mode: 'a leading tab', lacks: ['SharedWorker'] },
]

/** Open streams, as the server counts them. @param {{ url: string }} server @returns {Promise<number>} */
const streams = async ({ url }) => (await (await fetch(`${url}/healthz`)).json()).streams

/** How long a tab took from its address to its load event, as its browser measured it. @param {Reader | Editor} window */
const loadSeconds = (window) =>
  window.page.evaluate(() => {
    const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'))
    return (navigation.loadEventEnd - navigation.startTime) / 1000
  })

/** @param {number[]} numbers */
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** @param {number[]} seconds */
const show = (seconds) => `${seconds.map((one) => one.toFixed(2)).join(' ')} s`

/** @param {{ url: string }} server @param {number} count */
const streamsBecome = (server, count) => {
  let last = -1
  return until(async () => (last = await streams(server)) === count, { what: () => `${count} streams are open; there are ${last}`, seconds: 15 })
}

/** Takes from a browser what it shares by. @param {Person} person @param {string[]} lacks */
const without = (person, lacks) =>
  person.context.addInitScript((names) => {
    for (const name of names) delete /** @type {any} */ (window)[name]
  }, lacks)

/** Kills a tab's process: nothing of it says goodbye. @param {Reader | Editor} window */
async function kill(window) {
  const crashed = new Promise((resolve) => window.page.once('crash', resolve))
  const session = await window.page.context().newCDPSession(window.page)
  session.send('Page.crash').catch(() => {})
  await crashed
}

/** All processes that these have started. @param {number[]} found */
function started(...found) {
  /** @type {Map<number, number>} */
  const parents = new Map()
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      parents.set(Number(name), Number(readFileSync(`/proc/${name}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[1]))
    } catch {
      // It has just ended.
    }
  }
  for (let grown = true; grown; ) {
    const more = [...parents].filter(([pid, parent]) => found.includes(parent) && !found.includes(pid)).map(([pid]) => pid)
    found.push(...more)
    grown = more.length > 0
  }
  return found.slice(1)
}

/** All processes of the browser with this profile. @param {string} folder */
const processesOf = (folder) => {
  const own = started(process.pid).find((pid) => {
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    return line.includes(`--user-data-dir=${folder}`) && !line.includes('--type=')
  })
  assert.ok(own, `there is a browser with ${folder}`)
  return [own, ...started(own)]
}

/** Processor time that a process has used, in ticks. @param {number} pid */
function ticks(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
    return Number(fields[11]) + Number(fields[12])
  } catch {
    return 0
  }
}

/**
 * A tab's process, which can be stopped: the worker and other tabs stop with it only if they live in the same one.
 * (Chromium without a screen shows every tab, and what is shown is never frozen.)
 * @param {Reader | Editor} window
 */
async function processOf(window) {
  const renderers = started(process.pid).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--type=renderer'))
  const before = new Map(renderers.map((pid) => [pid, ticks(pid)]))
  // Whoever is busy now is the one.
  await window.page.evaluate(() => {
    for (const end = performance.now() + 500; performance.now() < end; );
  })
  const busy = renderers.map((pid) => ({ pid, used: ticks(pid) - (before.get(pid) ?? 0) })).sort((one, other) => other.used - one.used)
  return busy[0].pid
}

describe('many tabs of one browser', () => {
  const wiki = useWiki({ serverFor: 'each' })

  for (const { mode, lacks } of modes) {
    it(`twenty tabs on HTTP/1.1, by ${mode}: each loads at once, all are live, and the server has one stream for them`, limit(180), async () => {
      const paths = ['One', 'Two', 'Three', 'Four']
      for (const path of paths) await wiki.server.put(path, `This is ${path}.`)
      const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url)))
      await without(anna, lacks)
      // What one tab alone takes, for comparison: the second of each, when everything is in the cache.
      /** @type {number[]} */
      const alone = []
      for (const open of [() => ben.read('One'), () => ben.read('One'), () => ben.edit('One'), () => ben.edit('One')]) {
        const lone = await open()
        alone.push(await loadSeconds(lone))
        await lone.page.close()
      }
      /** @type {(Reader | Editor)[]} */
      const tabs = []
      /** @type {number[]} */
      const loads = []
      for (let count = 0; count < 20; count++) {
        const path = paths[count % 4]
        const tab = await (count >= 16 ? anna.edit(path) : anna.read(path))
        loads.push(await loadSeconds(tab))
        tabs.push(tab)
      }
      const [lastRead, lastEdit] = [median(loads.slice(11, 16)), median(loads.slice(17))]
      console.log(`# by ${mode}: alone ${show(alone)}; the twenty ${show(loads)}`)
      assert.ok(Math.max(...loads) < slowness, `each loads within a second: ${show(loads)}`)
      // The last ones take as long as one alone does: nothing waits for a connection. Short times vary.
      assert.ok(lastRead < 3 * alone[1] + 0.1 * slowness, `a late reader took ${lastRead} s, one alone ${alone[1]} s`)
      assert.ok(lastEdit < 3 * alone[3] + 0.1 * slowness, `a late editor took ${lastEdit} s, one alone ${alone[3]} s`)
      for (const tab of tabs) await tab.reaches(['stream'], { seconds: 8 })
      await streamsBecome(wiki.server, 1)

      // What one tab writes and what somebody else writes appears in all tabs of the page.
      for (const [index, path] of paths.entries()) {
        const own = /** @type {Editor} */ (tabs[16 + index])
        await own.placeCaret('end')
        await own.page.keyboard.insertText(` Mine-${index}.`)
        const b = await ben.edit(path)
        await b.placeCaret('start')
        await b.type(`Theirs-${index}. `)
        for (const tab of tabs.filter((_, place) => place % 4 === index)) {
          await tab.sees(`Theirs-${index}.`, { seconds: 5 })
          await tab.sees(`Mine-${index}.`, { seconds: 5 })
        }
        await b.page.close()
      }
      assert.match((await tabs[5].live()).text, /20 tabs share the connection/)

      // Any of them closes or is loaded again, and nothing that was typed is lost.
      const editor = /** @type {Editor} */ (tabs[17])
      await editor.placeCaret('end')
      await editor.type(' Last words.')
      await Promise.all([tabs[0].page.close(), tabs[18].page.close(), tabs[4].page.reload(), editor.page.reload()])
      await editor.ready()
      // What the window had not sent when it was loaded again is taken over once its lock is free: at once or a second later.
      await editor.sees('Last words.', { seconds: 8 })
      await editor.saved()
      assert.match(await agree(wiki.server, 'Two', [editor]), /Last words\.$/)
      for (const tab of [tabs[1], tabs[4], tabs[12], tabs[16], editor]) await tab.reaches(['stream'], { seconds: 8 })
      await streamsBecome(wiki.server, 1)
      for (const tab of tabs.filter((tab) => !tab.page.isClosed())) await tab.page.close()
      await streamsBecome(wiki.server, 0)
    })

    it(`the tab that came first is killed, by ${mode}: the others go on, it is gone from the list, and nothing is lost`, limit(120), async () => {
      await wiki.server.put('Killed', 'Text: ')
      const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url)))
      await without(anna, lacks)
      const first = await anna.edit('Killed')
      const second = await anna.read('Killed')
      const third = await anna.edit('Killed')
      const b = await ben.edit('Killed')
      for (const tab of [first, second, third]) await tab.reaches(['stream'], { seconds: 8 })
      await streamsBecome(wiki.server, 2)
      const mine = async () => (await b.people()).find((label) => /in \d tabs/.test(label)) ?? ''
      await until(async () => /in 3 tabs/.test(await mine()), { what: async () => `Ben sees three tabs of Anna: ${await b.people()}` })
      await b.placeCaret('end')
      const digits = '0123456789'.repeat(8)
      const typing = b.type(digits, { delay: 25 })
      await b.sees('0123')
      await kill(first)
      await until(async () => /in 2 tabs/.test(await mine()), { seconds: 3, what: async () => `the killed tab is gone from the list: ${await b.people()}` })
      await typing
      assert.equal(await agree(wiki.server, 'Killed', [b, third]), `Text: ${digits}`)
      await second.sees(digits)
      for (const tab of [second, third]) await tab.reaches(['stream'], { seconds: 8 })
      await streamsBecome(wiki.server, 2)
    })

    it(`a server that restarts under three live tabs, by ${mode}, finds them live again, and nothing is lost`, limit(120), async () => {
      await wiki.server.put('Restart', 'Text: ')
      const anna = await wiki.people.person(wiki.server.url, { allow: networkNoise })
      await without(anna, lacks)
      const a = await anna.edit('Restart')
      const readers = [await anna.read('Restart'), await anna.read('Restart')]
      for (const tab of [a, ...readers]) {
        await tab.reaches(['stream'], { seconds: 8 })
        await tab.mark()
      }
      await a.placeCaret('end')
      const letters = 'abcdefghij'.repeat(10)
      const typing = a.type(letters, { delay: 30 })
      await readers[0].sees('abcdef')
      await wiki.server.stop()
      await wiki.server.start()
      await typing
      await a.saved({ seconds: 40 })
      // What the page says of the last keys may be a moment older than they are.
      assert.equal(await agree(wiki.server, 'Restart', [a]), `Text: ${letters}`)
      for (const reader of readers) await reader.sees(letters, { seconds: 20 })
      for (const tab of [a, ...readers]) {
        await tab.reaches(['stream'], { seconds: 40 })
        await tab.assertNeverReloaded()
      }
      await streamsBecome(wiki.server, 1)
    })

    it(`a tab that was suspended, by ${mode}, is right within ${BACK} s of going on`, limit(120), async () => {
      await wiki.server.put('Suspended', 'Text: ')
      const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url)))
      await without(anna, lacks)
      const suspended = await anna.edit('Suspended')
      const other = await anna.read('Suspended')
      for (const tab of [suspended, other]) await tab.reaches(['stream'], { seconds: 8 })
      const b = await ben.edit('Suspended')
      const pid = await processOf(suspended)
      await suspended.placeCaret('end')
      await suspended.page.keyboard.insertText('typed just before. ')
      process.kill(pid, 'SIGSTOP')
      try {
        await b.placeCaret('end')
        await b.type('while it was suspended ')
        // Also where the suspended one has the connection: the others notice that it is silent.
        await other.sees('while it was suspended', { seconds: 15 })
        // Longer than any silence that nobody minds.
        await other.page.waitForTimeout(7000)
        await b.type('and later ')
        await other.sees('and later', { seconds: 15 })
      } finally {
        process.kill(pid, 'SIGCONT')
      }
      const begun = Date.now()
      await suspended.sees('and later', { seconds: BACK })
      console.log(`# suspended, by ${mode}: right ${Date.now() - begun} ms after it went on`)
      for (const tab of [suspended, other]) await tab.reaches(['stream'], { seconds: 8 })
      await until(async () => (await b.people()).some((label) => /writing in 2 tabs/.test(label)), { what: async () => `both tabs are in the list: ${await b.people()}` })
      await b.type('and after')
      for (const tab of [suspended, other]) await tab.sees('and after', { seconds: 3 })
      await suspended.saved()
      const text = await agree(wiki.server, 'Suspended', [suspended, b])
      for (const words of ['typed just before. ', 'while it was suspended ', 'and later ', 'and after']) assert.equal(text.split(words).length, 2, text)
      await streamsBecome(wiki.server, 2)
    })
  }

  it(`a computer that sleeps for ${asleepSeconds} s loses no character and is right within ${BACK} s of waking`, limit(asleepSeconds + 120), async () => {
    await wiki.server.put('Asleep', 'Text: ')
    const { person: anna, folder } = await wiki.people.keeper(wiki.server.url)
    const ben = await wiki.people.person(wiki.server.url)
    const a = await anna.edit('Asleep')
    const reader = await anna.read('Asleep')
    const b = await ben.edit('Asleep')
    for (const tab of [a, reader, b]) await tab.reaches(['stream'], { seconds: 8 })
    await a.page.bringToFront()
    await a.placeCaret('end')
    await a.type('before sleep ')
    const sleepers = processesOf(folder)
    assert.ok(sleepers.length > 3, `${sleepers}`)
    for (const pid of sleepers) process.kill(pid, 'SIGSTOP')
    const asleep = Date.now()
    try {
      await b.placeCaret('start')
      for (let count = 0; Date.now() - asleep < asleepSeconds * 1000; count++) await b.type(`${count} `, { delay: 50 })
      await b.type('written meanwhile ')
      await b.saved()
      if (long) {
        await until(async () => (await b.people()).length === 1, { what: async () => `whoever sleeps is no ghost: ${await b.people()}` })
      }
    } finally {
      for (const pid of sleepers) process.kill(pid, 'SIGCONT')
    }
    const begun = Date.now()
    await Promise.all([a.sees('written meanwhile', { seconds: BACK }), reader.sees('written meanwhile', { seconds: BACK })])
    console.log(`# woken after ${asleepSeconds} s: right within ${Date.now() - begun} ms`)
    await until(async () => (await b.people()).some((label) => /writing in 2 tabs/.test(label)), {
      seconds: BACK,
      what: async () => `Anna is in the list again, with both tabs: ${await b.people()}`,
    })
    await a.saved()
    const text = await agree(wiki.server, 'Asleep', [a, b])
    assert.equal(text.split('before sleep ').length, 2, text)
    await a.reaches(['stream'], { seconds: 8 })
    await reader.reaches(['stream'], { seconds: 8 })
    await a.type('and after ')
    await b.sees('and after ')
  })

  // Pages are `no-store`, so Chromium loads them anew; browsers that take them out of a cache of whole pages are
  // imitated in tests/js (pageshow, pagehide).
  it('going back to a page shows it as it is now, and live', limit(), async () => {
    await wiki.server.put('Back', 'Old text.')
    await wiki.server.put('Elsewhere', 'Another page.')
    const anna = await wiki.people.person(wiki.server.url)
    const reader = await anna.read('Back')
    await reader.reaches(['stream'], { seconds: 8 })
    await reader.page.goto('/wiki/Elsewhere')
    await reader.reaches(['stream'], { seconds: 8 })
    await wiki.server.put('Back', 'New text.', await wiki.server.revision('Back'))
    await reader.page.goBack()
    await reader.sees('New text.', { seconds: BACK })
    await reader.reaches(['stream'], { seconds: 8 })
    await wiki.server.put('Back', 'Newest text.', await wiki.server.revision('Back'))
    await reader.sees('Newest text.', { seconds: 3 })
    await reader.page.goForward()
    await reader.reaches(['stream'], { seconds: 8 })
    await streamsBecome(wiki.server, 1)
  })

  it('a browser that can share nothing keeps all tabs up to date within the cap of the server', limit(90), async () => {
    await wiki.server.put('Alone', 'One page, eight windows.')
    const [many, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url)))
    await without(many, ['SharedWorker', 'BroadcastChannel'])
    const readers = []
    for (let count = 0; count < 8; count++) readers.push(await many.read('Alone'))
    const b = await ben.edit('Alone')
    await b.placeCaret('end')
    await b.type(' Everywhere!')
    for (const reader of readers) await reader.sees('Everywhere!', { seconds: 8 })
    assert.ok((await streams(wiki.server)) <= 5)
  })

  it("a rung that is chosen is this tab's alone, and 'Automatic' shares again", limit(), async () => {
    await wiki.server.put('Chosen', 'Text.')
    const anna = await wiki.people.person(wiki.server.url)
    const [reader, other] = [await anna.read('Chosen'), await anna.read('Chosen')]
    for (const tab of [reader, other]) await tab.reaches(['stream'], { seconds: 8 })
    /** @param {string} value */
    const choose = (value) => reader.page.locator(`#live-menu input[value="${value}"]`).check()
    await reader.page.locator('#live-menu summary').click()
    await choose('poll')
    await reader.reaches(['poll'])
    assert.equal((await other.live()).rung, 'stream')
    await choose('auto')
    await reader.reaches(['stream'], { seconds: 8 })
    await streamsBecome(wiki.server, 1)
  })
})
