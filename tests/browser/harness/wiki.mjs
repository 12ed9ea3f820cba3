// What the tests of a file share: a wiki, a browser, and that both go again, whatever became of the test.
import { after, afterEach, before, beforeEach } from 'node:test'
import { startBrowser } from './browser.mjs'
import { slowness } from './processes.mjs'
import { startServer } from './server.mjs'

/** @typedef {Awaited<ReturnType<typeof startServer>>} Server */
/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/**
 * What a test that runs beside others has for itself.
 * @typedef {object} Stage
 * @property {Server} server
 * @property {ReturnType<Browser['party']>} people
 * @property {<T extends { stop(): unknown }>(starting: Promise<T>) => Promise<T>} use starts something that ends with the test
 */

/** The time limit of a test. @param {number} seconds */
export const limit = (seconds = 60) => ({ timeout: seconds * 1000 * slowness })

/**
 * Called inside `describe` whose tests run one after the other: a browser for all of them, whose people leave after
 * each test with empty consoles, and a server.
 * @param {{ serverFor?: 'all' | 'each' }} options `each`: the tests stop and kill it
 */
export function useWiki({ serverFor = 'all' } = {}) {
  const wiki = { server: /** @type {Server} */ (/** @type {unknown} */ (null)), people: /** @type {Browser} */ (/** @type {unknown} */ (null)) }
  const start = async () => {
    wiki.server = await startServer()
  }
  if (serverFor === 'all') before(start)
  else beforeEach(start)
  before(async () => {
    wiki.people = await startBrowser()
  })
  afterEach(async () => {
    try {
      await wiki.people.leave()
    } finally {
      if (serverFor === 'each') await wiki.server.stop()
    }
  })
  after(async () => {
    await wiki.people?.close()
    if (serverFor === 'all') await wiki.server?.stop()
  })
  return wiki
}

/**
 * Called inside `describe` whose tests run at the same time: one browser, and for each test people, a server and
 * whatever it starts, which end with it. What one test does on its wiki is no event for another.
 */
export function useStages() {
  /** @type {Browser} */
  let browser
  before(async () => {
    browser = await startBrowser()
  })
  after(() => browser?.close())

  /** The body of a test. @param {(stage: Stage) => Promise<void>} play */
  return (play) => async () => {
    const server = await startServer()
    const people = browser.party()
    /** @type {{ stop(): unknown }[]} */
    const started = []
    let failed = true
    try {
      await play({
        server,
        people,
        use: async (starting) => {
          const one = await starting
          started.push(one)
          return one
        },
      })
      failed = false
    } finally {
      // A complaint on a console must not hide what a test has failed by.
      await people.leave().catch((error) => {
        if (!failed) throw error
      })
      for (const one of started) await one.stop()
      await server.stop()
    }
  }
}
