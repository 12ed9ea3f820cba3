// One row of the matrix: a page, somebody who writes beside the server, and behind one network somebody who writes and
// somebody who reads. What reaches those two is compared with the server's log and with its page.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { slowness, until } from '../browser/harness/processes.mjs'
import { Browser } from './browser.mjs'
import { Editor } from './editor.mjs'
import { Oracle, compare, judgeWords } from './oracle.mjs'
import { Reader } from './reader.mjs'

/** @typedef {import('./rows.mjs').Row} Row */
/** @typedef {Awaited<ReturnType<typeof import('../browser/harness/server.mjs').startServer>>} Server */
/**
 * A network: an address to ask instead of the server's, and for one that misbehaves on demand how it is told to.
 * @typedef {object} Network
 * @property {string} url
 * @property {string} [forward] it is a proxy that browsers know of: the address stays the server's
 * @property {(mode: string) => Promise<void>} [mode]
 * @property {() => Promise<{ faulted: number }>} [stats]
 * @property {() => unknown} stop
 */
/**
 * What one person's cell of the table says.
 * @typedef {object} Cell
 * @property {string} row
 * @property {'editor' | 'reader'} who
 * @property {number | null} first ms from opening the page to the first word of the other
 * @property {string} rung
 * @property {number | null} rungAfter ms from opening, or from the beginning of the fault
 * @property {number[]} news ms that words of the other took once that rung was reached, sorted
 * @property {number | null} back ms from the end of the fault to the stream
 * @property {number} lost @property {number} twice @property {number} order
 * @property {number} events @property {number} words
 * @property {string[]} problems empty: the cell holds
 * @property {string[]} timeline
 */

const SECOND = 1000

const standstills = monitorEventLoopDelay({ resolution: 20 })
/** What happened before is nobody's: modules were loaded. */
export function watchStandstills() {
  standstills.enable()
  standstills.reset()
}
/**
 * What a busy machine may add to a bound: this process stands for all of its pages at once, and each of them puts its
 * deadlines off when it finds that it stood still.
 */
export const stoodStill = () => Math.round(500 + Math.min(3000, (3 * standstills.max) / 1e6))

/** The clock moves on when nothing happens; there is no event to wait for. @param {number} ms */
const pass = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** The way back is tried after 1 s instead of a minute; everything else is as shipped. */
export const QUICK_RETURN = { shadowFirst: 1000, shadowMax: 4000 }

/** Seconds that a heartbeat, which promotes a shadow stream, may take (PROTOCOL: every 15 s; ours: 4 s of slack). */
const HEARTBEAT = 19
/**
 * Seconds until a shadow stream that begins after the fault: the first comes 60 s ± 20 % after the demotion, the next
 * 120 s ± 20 % after that one has failed, be it for the fault or because this process stood still during its proof.
 * @param {number} lasted seconds of the fault
 */
const shadow = (lasted) => (lasted < 48 && standstills.max < 3e8 ? 72 : 168)
/** Reconnecting after a fault: at most 30 s between tries, then hello and probe. */
const RECONNECT = 33

/**
 * @param {Row} row
 * @param {{ server: Server, network: () => Promise<Network>, seed: number, long: boolean, say: (line: string) => void }} scene
 * @returns {Promise<Cell[]>}
 */
export async function playRow(row, { server, network, seed, long, say }) {
  const random = seeded(seed)
  const timing = { ...(long ? {} : QUICK_RETURN), ...row.timing }
  const path = `Matrix ${row.id} ${seed}`
  /** @type {Network[]} */
  let own
  try {
    await server.put(path, 'Beside: \n\nEditor: \n')
    own = row.each ? [await network(), await network()] : [await network()]
  } catch (error) {
    return /** @type {const} */ (['editor', 'reader']).map((who) => nothing(row, who, String(error)))
  }
  const networks = [own[0], own.at(-1) ?? own[0]]
  const browser = (/** @type {number} */ at) => new Browser(networks[at].url, { random, forward: networks[at].forward })
  const beside = new Editor(new Browser(server.url, { random }), { name: 'b', behind: 'Beside: ' })
  const editor = new Editor(browser(0), { name: 'e', behind: 'Editor: ', timing })
  const reader = new Reader(browser(1), { name: 'r', timing })
  const behind = [editor, reader]
  /** @type {Oracle[]} */
  let oracles = []
  const scene = { from: Date.now(), faultAt: 0, endAt: 0 }
  /** @type {string[]} */
  const common = []
  const fault = async (/** @type {string} */ mode) => {
    for (const one of own) await one.mode?.(mode)
    for (const tab of behind) tab.note(`network: ${mode}`)
  }
  const pace = row.pace ?? 500
  const writing = writer(beside, pace)
  const typing = writer(editor, Math.max(pace, 700))
  try {
    await beside.open(path)
    await until(() => beside.says() === 'live/stream' && beside.text() !== null, { seconds: 30, what: () => `the writer beside was live (${beside.says()})` })
    if (!row.running && row.fault) {
      await fault(row.fault)
      if (row.prime) await prime(networks[0].url, server, path)
    }
    scene.faultAt = Date.now()
    writing.start()
    await Promise.all(behind.map((tab) => tab.open(path)))
    oracles = behind.map((tab) => new Oracle(server.url, tab.topics, tab.cursor))
    typing.start()
    if (row.running && row.fault) {
      await Promise.all(behind.map((tab) => until(() => tab.says() === 'live/stream', { seconds: 20, what: () => `${tab.name} was live before the fault (${tab.says()})` })))
      scene.faultAt = Date.now()
      await fault(row.fault)
    }

    // Until both are where they should be, and then for a while: bursts, silence, single words.
    const within = row.within * SECOND * slowness
    await untilOr(within, () => behind.every((tab) => reached(row, tab) !== null))
    const lasts = Math.max((long ? row.lasts ?? 40 : row.quickLasts ?? 20) * SECOND, Date.now() - scene.faultAt + Math.max(12 * SECOND, 2 * pace))
    while (Date.now() - scene.faultAt < lasts) {
      await pass(Math.min(4 * SECOND, lasts / 4))
      // Silence of everybody: no later event pushes these words out of a buffer.
      for (const one of [writing, typing]) one.stop()
      await pass(Math.max(4 * SECOND, pace))
      for (const one of [writing, typing]) one.start()
    }
    scene.endAt = Date.now()
    /** @type {(string | null)[]} */
    const atEnd = behind.map((tab) => settled(row, tab))
    const learned = behind.map((tab) => tab.browser.verdict())

    // The fault ends.
    if (row.fault) await fault('off')
    if (row.again) editor.session.retryNow()
    const backWithin = (row.states ? RECONNECT : (long ? shadow((scene.endAt - scene.faultAt) / SECOND) : 6) + HEARTBEAT + 4) + (row.backSlack ?? 0)
    if (row.fault) await untilOr(backWithin * SECOND * slowness, () => behind.every((tab) => tab.says() === 'live/stream'))
    const backAt = behind.map((tab) => (row.fault ? lastSaid(tab, 'live/stream', scene.endAt) : null))
    await pass(2 * SECOND)
    writing.stop()
    typing.stop()

    // Quiet: everybody has everything.
    await untilOr(30 * SECOND * slowness, () => [beside, editor].every((one) => one.saved()))
    const raw = await server.raw(path)
    await untilOr(15 * SECOND * slowness, () => beside.text() === raw && editor.text() === raw)
    // Drawn a moment after it was saved.
    let hashes = ''
    await untilOr(15 * SECOND * slowness, async () => {
      const view = await (await fetch(`${server.url}/_live/pages/${reader.page}/view`)).json()
      hashes = view.blocks.map((/** @type {{ hash: string }} */ block) => String(block.hash)).join(' ')
      return reader.hashes() === hashes
    })
    // The log goes on with what happens elsewhere: judged is one moment at which both had come equally far.
    let logs = oracles.map((oracle) => oracle.events.slice())
    let gots = behind.map((tab) => tab.got.slice())
    await untilOr(15 * SECOND * slowness, () => {
      logs = oracles.map((oracle) => oracle.events.slice())
      gots = behind.map((tab) => tab.got.slice())
      return gots.every((got, at) => got.length === logs[at].length)
    })

    const faulted = own[0].stats ? await own[0].stats() : { faulted: 1 }
    if (row.fault && faulted.faulted === 0 && !row.untouched) common.push('the fault touched no request')
    for (const problem of beside.problems) common.push(`beside: ${problem}`)
    return behind.map((tab, at) => judge(tab, at))

    /** @param {Editor | Reader} tab @param {number} at @returns {Cell} */
    function judge(tab, at) {
      const who = tab instanceof Editor ? 'editor' : 'reader'
      const delivered = compare(logs[at], gots[at])
      /** @type {string[]} */
      const problems = [...common]
      // What is compared with nothing would always be right.
      if (logs[at].length === 0) problems.push('the log has no events')
      if (gots[at].length > logs[at].length) problems.push(`${gots[at].length - logs[at].length} events more than the log has`)
      let { lost, twice, order } = delivered
      if (delivered.first) problems.push(`differs from the log at ${delivered.first}`)
      if (tab instanceof Editor) {
        for (const writer of [editor, beside]) {
          const words = judgeWords(raw, writer.name, writer.typed)
          lost += words.lost
          twice += words.twice
          order += words.order
        }
        if (!tab.saved()) problems.push(`not everything is saved: ${JSON.stringify(tab.session.status)}`)
        if (tab.text() !== raw) problems.push('its text is not the server’s')
      } else if (tab.hashes() !== hashes) problems.push('its blocks are not the server’s')
      if (tab.resets > 0) problems.push(`${tab.resets} resets`)
      if (oracles[at].resets > 0) problems.push('the log itself was reset')
      problems.push(...tab.problems.filter((problem) => !row.expects?.test(problem)))
      if (lost + twice + order > 0) problems.push(`${lost} lost, ${twice} twice, ${order} out of order`)

      const wanted = reached(row, tab)
      const rungAfter = wanted === null ? null : wanted - Math.max(scene.faultAt, row.running ? 0 : tab.connectedAt)
      const states = row.states ?? ['live', 'refreshing']
      if (row.rungs || row.states) {
        const what = row.states?.join(' or ') ?? row.rungs?.join(' or ')
        if (wanted === null) problems.push(`never was at ${what}`)
        else if (rungAfter !== null && rungAfter > within + stoodStill()) problems.push(`was at ${what} only after ${rungAfter} ms`)
        if (atEnd[at] === null && !row.sways) problems.push(`was not at ${what} when the fault ended, but ${said(tab, scene.endAt)}`)
      }
      if (row.states?.includes('offline') && learned[at]) problems.push(`demoted by a network that was away: ${JSON.stringify(learned[at])}`)
      if (row.reason && !tab.said.some((entry) => row.reason?.test(entry.reason))) problems.push(`never said ${row.reason}`)
      if (row.learns) {
        const wrong = row.learns(learned[at])
        if (wrong) problems.push(wrong)
      }
      const news = delays(beside, tab, wanted ?? Infinity, scene.endAt, states.includes('offline') ? Infinity : (row.news ?? 4) * SECOND)
      if (row.rungs && !row.states) {
        const most = news.at(-1) ?? 0
        if (most > (row.news ?? 4) * SECOND * slowness + stoodStill()) problems.push(`a word took ${most} ms`)
        if (news.length === 0) problems.push('no word came on that rung')
      }
      const back = backAt[at]
      if (row.fault && back === null) problems.push(`not back on the stream ${backWithin} s after the fault, but ${tab.says()}`)
      // What had been written before came with the page.
      const first = Math.min(...[...beside.wrote].filter(([, when]) => when > tab.openedAt).map(([word]) => tab.seen.get(word) ?? Infinity))
      // Where a rung is asked for, the first word comes by it or earlier, on the way to it; it must have been written.
      const firstWithin = within + (row.pace ?? 0) + (row.news ?? 4) * SECOND * slowness + stoodStill()
      if (!Number.isFinite(first)) problems.push('no word ever came live')
      else if (row.rungs && first - tab.openedAt > firstWithin) problems.push(`the first word came live only after ${first - tab.openedAt} ms`)
      return {
        row: row.id,
        who,
        first: Number.isFinite(first) ? first - tab.openedAt : null,
        rung: row.states ? atEnd[at] ?? tab.says() : (atEnd[at] ?? said(tab, scene.endAt)).split('/')[1],
        rungAfter,
        news,
        back: back === null || back === undefined ? null : back - scene.endAt,
        lost,
        twice,
        order,
        events: tab.got.length,
        words: beside.typed + (tab instanceof Editor ? editor.typed : 0),
        problems,
        timeline: tab.said.map(({ at: when, says, reason }) => `${((when - scene.from) / SECOND).toFixed(1)} s ${says} ${reason}`),
      }
    }
  } catch (error) {
    say(`${row.id}: ${error instanceof Error ? error.stack : error}`)
    return behind.map((tab) => ({
      ...nothing(row, tab instanceof Editor ? 'editor' : 'reader', String(error)),
      rung: tab.live ? tab.says() : 'not open',
      timeline: tab.said.map(({ at: when, says, reason }) => `${((when - scene.from) / SECOND).toFixed(1)} s ${says} ${reason}`),
    }))
  } finally {
    writing.stop()
    typing.stop()
    for (const tab of [beside, editor, reader]) tab.close()
    for (const oracle of oracles) await oracle.stop()
    for (const one of own) await one.stop()
  }
}

/** A cell that could not be played. @param {Row} row @param {'editor' | 'reader'} who @param {string} problem @returns {Cell} */
function nothing(row, who, problem) {
  return { row: row.id, who, first: null, rung: '–', rungAfter: null, news: [], back: null, lost: 0, twice: 0, order: 0, events: 0, words: 0, problems: [problem], timeline: [] }
}

/** Types a word every so often. @param {Editor} editor @param {number} ms */
function writer(editor, ms) {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer
  return {
    start() {
      clearInterval(timer)
      if (editor.session) editor.type()
      timer = setInterval(() => editor.session && editor.type(), ms)
    },
    stop: () => clearInterval(timer),
  }
}

/**
 * Whether a status is one that the row asks for. What is only being tried does not count.
 * @param {Row} row @param {{ says: string, reason: string }} entry
 */
function fits(row, { says, reason }) {
  const [state, rung] = says.split('/')
  if (says.startsWith('network') || /being tested/.test(reason)) return false
  if (row.states) return row.states.includes(state)
  if (state !== 'live' && state !== 'refreshing') return false
  return row.rungs ? row.rungs.includes(rung) : true
}

/** When a tab first was where the row wants it, since the fault began. @param {Row} row @param {Editor | Reader} tab */
function reached(row, tab) {
  let from = 0
  for (const [at, { says }] of tab.said.entries()) if (row.running && says === `network: ${row.fault}`) from = at + 1
  if (row.running && from === 0 && row.fault) return null
  // A stream that just goes on says nothing.
  const before = tab.said[from - 2]
  if (before && fits(row, before)) return tab.said[from - 1].at
  return tab.said.slice(from).find((entry) => fits(row, entry))?.at ?? null
}

/** The status of this moment, if the row asks for it. @param {Row} row @param {Editor | Reader} tab */
function settled(row, tab) {
  const entry = { says: tab.says(), reason: tab.live.status.reason }
  return fits(row, entry) ? entry.says : null
}

/** What a tab said at a time. @param {Editor | Reader} tab @param {number} at */
function said(tab, at) {
  return tab.said.filter((entry) => entry.at <= at && !entry.says.startsWith('network')).at(-1)?.says ?? 'nothing'
}

/** When a tab came to what it still says; null when it says something else. @param {Editor | Reader} tab @param {string} says @param {number} from */
function lastSaid(tab, says, from) {
  if (tab.says() !== says) return null
  const since = tab.said.filter((entry) => entry.says === says).at(-1)?.at ?? from
  return Math.max(since, from)
}

/**
 * How long the other's words took to come, those typed between two times.
 * @param {Editor} beside @param {Editor | Reader} tab @param {number} from @param {number} to @param {number} margin
 */
function delays(beside, tab, from, to, margin) {
  const list = []
  for (const [word, at] of beside.wrote) {
    if (at < from || at > to - Math.min(margin, 1e9)) continue
    list.push((tab.seen.get(word) ?? Date.now()) - at)
  }
  return list.sort((a, b) => a - b)
}

/** @param {number} ms @param {() => unknown} question */
async function untilOr(ms, question) {
  const end = Date.now() + ms
  while (Date.now() < end && !(await question())) await pass(25)
}

/** Somebody has asked before, and a cache has kept the answers. @param {string} url @param {Server} server @param {string} path */
async function prime(url, server, path) {
  const page = await (await fetch(`${server.url}/api/v1/pages/${encodeURIComponent(path)}`)).json()
  for (const mode of ['stream', 'poll', 'hold']) {
    const abort = new AbortController()
    const query = `mode=${mode}&topics=view:${page.id}&client=aaaaaaaaaaaaaaaaaaaa&nonce=somebody&wait=1`
    const response = await fetch(`${url}/_live/events?${query}`, { signal: abort.signal })
    const reader = response.body?.getReader()
    await reader?.read()
    abort.abort()
  }
}

/** Small, seeded, good enough: mulberry32. @param {number} seed */
export function seeded(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
