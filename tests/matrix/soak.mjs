// A soak: people behind networks that change at random, who change their rung, reload and look away, while the server
// is restarted now and then; and others beside it who write all the time. Nothing may be lost, come twice or come in
// another order, and what was typed must be on the server's disk once and in order.
//
//   node tests/matrix/soak.mjs                    about 3,000 events
//   node tests/matrix/soak.mjs --long             100,000 events
//   node tests/matrix/soak.mjs --events N --seed N --stations N
import { parseArgs } from 'node:util'
import { long as longAsked, slowness } from '../browser/harness/processes.mjs'
import { startFaultProxy, startServer } from '../browser/harness/server.mjs'
import { Browser } from './browser.mjs'
import { Chain } from './chain.mjs'
import { Editor } from './editor.mjs'
import { judgeWords } from './oracle.mjs'
import { Reader } from './reader.mjs'
import { QUICK_RETURN, seeded } from './row.mjs'

const { values: options } = parseArgs({
  options: {
    long: { type: 'boolean', default: longAsked },
    events: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    stations: { type: 'string' },
  },
})
const seed = Number(options.seed)
const goal = Number(options.events ?? (options.long ? 100_000 : 3_000))
const stations = Number(options.stations ?? (options.long ? 6 : 4))
/** Seconds of faults on one page, before everybody comes to rest and is judged. */
const ROUND = options.long ? 60 : 30
/** Seconds between restarts of the server, at least; and as much again at random. */
const RESTART = options.long ? 25 : 7

/** What a network may begin to do; every third time it is well. */
const FAULTS = [
  'mute', 'tick 1.5', 'tick 20', 'thresh 2048', 'thresh 16384', 'behind', 'cut 1', 'cut 5', 'idle 3', 'first 2', 'hole 0', 'hole 4', 'rst 1',
  'rst 4', 'slow 3000', 'chop 5', 'gzip', 'http10', 'typed', 'twice all', 'block stream', 'block stream, block hold', 'status 502 post',
  'status 503', 'portal', 'portal 302', 'age 3', 'cap 2', 'refuse', 'strip hints all', 'mute stream, cut 2 hold',
]

/** @type {Record<string, number>} */
const did = {}
const count = (/** @type {string} */ what) => void (did[what] = (did[what] ?? 0) + 1)
const totals = { events: 0, updates: 0, words: 0, lost: 0, twice: 0, order: 0, rounds: 0, failed: 0 }
/** Events of rounds that still go on. @type {Set<() => number>} */
const underWay = new Set()
const events = () => [...underWay].reduce((sum, ask) => sum + ask(), totals.events)

const begun = Date.now()
/** @param {number} ms */
const pass = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const server = await startServer()
let over = false
/** @type {Promise<void> | null} */
let restarting = null

/** Asks until it is true or time is up. @param {number} seconds @param {() => unknown} question */
async function untilOr(seconds, question) {
  const end = Date.now() + seconds * 1000 * slowness
  for (;;) {
    const answer = await Promise.resolve().then(question).catch(() => false)
    if (answer) return true
    if (Date.now() > end) return false
    await pass(50)
  }
}

/** Ends the server, as an operator or as a power cut does, and starts it again. @param {() => number} random */
async function restart(random) {
  const kill = random() < 0.5
  count(kill ? 'kills of the server' : 'restarts of the server')
  if (kill) await server.kill()
  else await server.stop()
  await pass(random() * 1500)
  await server.start()
}

async function restarts() {
  const random = seeded(seed ^ 0x5eed)
  while (!over) {
    const wait = RESTART * 1000 * (1 + random())
    for (let waited = 0; waited < wait && !over; waited += 250) await pass(250)
    if (over) return
    restarting = restart(random)
    await restarting
    restarting = null
  }
}

/** One round of one station. @param {number} own its seed */
async function round(own) {
  const random = seeded(own)
  const pick = (/** @type {readonly any[]} */ list) => list[Math.floor(random() * list.length)]
  const path = `Soak ${own}`
  const log = /** @type {string[]} */ ([])
  const from = Date.now()
  const note = (/** @type {string} */ line) => void log.push(`${((Date.now() - from) / 1000).toFixed(2)} s ${line}`)
  await untilOr(30, () => server.put(path, 'Beside: \n\nEditor: \n').catch((error) => /412/.test(String(error)) || Promise.reject(error)))
  const proxy = await startFaultProxy(server.port)
  const beside = new Editor(new Browser(server.url, { random }), { name: 'b', behind: 'Beside: ' })
  const editor = new Editor(new Browser(proxy.url, { random }), { name: 'e', behind: 'Editor: ', timing: QUICK_RETURN })
  const reader = new Reader(new Browser(proxy.url, { random }), { name: 'r', timing: QUICK_RETURN })
  const tabs = [beside, editor, reader]
  const chains = new Map(tabs.map((tab) => [tab, new Chain(0)]))
  /** @type {Map<Editor | Reader, boolean>} */
  const left = new Map()
  const open = async (/** @type {Editor | Reader} */ tab) => {
    await tab.open(path)
    const chain = /** @type {Chain} */ (chains.get(tab))
    chain.begin(tab.pageRev ?? 0)
    const { live } = tab
    // What still comes for a page that was left is nobody's.
    left.set(tab, false)
    live.on('event', (event) => tab.live === live && !left.get(tab) && chain.take(event))
    live.on('reset', ({ cursor }) => {
      if (tab.live !== live) return
      note(`${tab.name} is reset to ${cursor}`)
      chain.reset()
    })
    tab.live.on('status', (status) => note(`${tab.name} ${status.state}/${status.rung} ${status.reason}`))
  }
  const judged = () => [...chains.values()].reduce((sum, chain) => sum + chain.events, 0)
  underWay.add(judged)
  /** @type {ReturnType<typeof setInterval>[]} */
  const typing = []
  const problems = /** @type {string[]} */ ([])
  try {
    for (const tab of tabs) await open(tab)
    typing.push(setInterval(() => random() < 0.7 && beside.type(), 80), setInterval(() => random() < 0.7 && editor.type(), 250))
    const end = Date.now() + ROUND * 1000
    while (Date.now() < end) {
      await pass(200 + random() * random() * 4000)
      const dice = random()
      const tab = pick([editor, reader])
      if (dice < 0.55) {
        const mode = random() < 0.34 ? 'off' : pick(FAULTS)
        note(`network: ${mode}`)
        count(`network: ${mode.split(' ')[0]}`)
        await proxy.mode(mode)
      } else if (dice < 0.72) {
        const rung = pick([null, null, 'stream', 'hold', 'poll'])
        note(`${tab.name} chooses ${rung}`)
        count(`choice: ${rung ?? 'automatic'}`)
        tab.live.choose(rung)
      } else if (dice < 0.82) {
        const name = pick(['online', 'offline'])
        note(`${tab.name} is told ${name}`)
        count(name)
        tab.browser.window.fire(name)
      } else if (dice < 0.9) {
        const now = pick(['hidden', 'visible'])
        count(now)
        tab.browser.window.document.visibilityState = now
        tab.browser.window.document.fire('visibilitychange')
      } else {
        note(`${tab.name} reloads`)
        count('reload')
        left.set(tab, true)
        tab.leave()
        // No browser shows a page that does not come: the network must let it through.
        await proxy.mode('off')
        await open(tab)
      }
    }
    for (const timer of typing) clearInterval(timer)
    note('rest')
    await restarting
    await proxy.mode('off')
    for (const tab of [editor, reader]) {
      tab.browser.window.document.visibilityState = 'visible'
      tab.browser.window.document.fire('visibilitychange')
      tab.live.choose(null)
      tab.browser.window.fire('online')
    }
    let raw = ''
    const quiet = await untilOr(60, async () => {
      if (restarting || !beside.saved() || !editor.saved()) return false
      raw = await server.raw(path)
      return beside.text() === raw && editor.text() === raw
    })
    if (!quiet) {
      for (const one of [beside, editor]) {
        problems.push(`${one.name}: ${one.saved() ? 'all saved' : JSON.stringify(one.session.status)}, ${one.text() === raw ? 'the same text' : `another text than the server (${one.text()?.length} and ${raw.length})`}, ${one.says()}`)
      }
    }
    const same = await untilOr(40, async () => {
      const view = await (await fetch(`${server.url}/_live/pages/${reader.page}/view`)).json()
      return reader.hashes() === view.blocks.map((/** @type {{ hash: string }} */ block) => String(block.hash)).join(' ')
    })
    if (!same) problems.push(`the reader shows something else than the server, ${reader.says()}`)
    const streams = await untilOr(60, () => tabs.every((tab) => tab.says() === 'live/stream'))
    if (!streams) problems.push(`not everybody is back on a stream: ${tabs.map((tab) => `${tab.name} ${tab.says()}`).join(', ')}`)
    for (const one of [beside, editor]) {
      const words = judgeWords(raw, one.name, one.typed)
      totals.words += one.typed
      for (const kind of /** @type {const} */ (['lost', 'twice', 'order'])) {
        totals[kind] += words[kind]
        if (words[kind] > 0) problems.push(`${words[kind]} words of ${one.name} ${kind}`)
      }
      problems.push(...one.problems.map((problem) => `${one.name}: ${problem}`))
    }
    totals.updates += await server.revision(path)
  } catch (error) {
    problems.push(String(error instanceof Error ? error.stack : error))
  } finally {
    for (const timer of typing) clearInterval(timer)
    for (const tab of tabs) tab.close()
    await proxy.stop()
  }
  for (const [tab, chain] of chains) {
    for (const kind of /** @type {const} */ (['lost', 'twice', 'order'])) totals[kind] += chain[kind]
    problems.push(...chain.faults.map((fault) => `${tab.name}: ${fault}`))
  }
  underWay.delete(judged)
  totals.events += judged()
  totals.rounds += 1
  if (problems.length > 0) {
    totals.failed += 1
    console.log([`not ok round with seed ${own}:`, ...problems.map((line) => `  ! ${line}`), ...log.slice(-80).map((line) => `    ${line}`)].join('\n'))
  }
}

console.log(`soak: seed ${seed}, ${stations} stations, ${goal} events`)
const restarter = restarts()
let next = 0
await Promise.all(
  Array.from({ length: stations }, async () => {
    // A round that was begun is finished, so a few more events may come.
    while (events() < goal) {
      await round(seed + next++)
      console.log(`# ${((Date.now() - begun) / 1000).toFixed(0)} s: ${events()} events, ${totals.rounds} rounds, ${totals.failed} with faults`)
    }
  }),
)
over = true
await restarter
await server.stop()
console.log(`soak: ${Object.entries(did).sort().map(([name, n]) => `${n} ${name}`).join(', ')}`)
console.log(
  `soak: seed ${seed}, ${totals.rounds} rounds, ${totals.events} events (${totals.updates} updates of pages, ${totals.words} words): ` +
    `${totals.lost} lost, ${totals.twice} twice, ${totals.order} out of order; ${totals.failed} rounds with faults; ${((Date.now() - begun) / 1000).toFixed(0)} s`,
)
const failed = totals.failed
console.log(`# pass ${totals.rounds - failed}\n# fail ${failed}`)
process.exit(failed === 0 ? 0 : 1)
