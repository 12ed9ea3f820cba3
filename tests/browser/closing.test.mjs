// How soon somebody who closes a tab has left for others, when nothing can be said: no beacon is sent.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { slowness, until } from './harness/processes.mjs'
import { limit, useWiki } from './harness/wiki.mjs'

describe('a tab that is closed without a word', () => {
  const wiki = useWiki()

  for (const live of ['stream', 'hold', undefined]) {
    it(`has left for others within a second, ${live ? `on ${live}` : 'with the connection it shares'}`, limit(90), async () => {
      const path = `Closing ${live ?? 'shared'}`
      await wiki.server.put(path, 'Text')
      const [anna, ben] = await Promise.all([1, 2].map(() => wiki.people.person(wiki.server.url)))
      await anna.context.addInitScript(() => {
        Navigator.prototype.sendBeacon = () => true
      })
      const b = await ben.read(path)
      await b.reaches(['stream'], { seconds: 10 })
      const tab = await anna.read(path, live ? { live } : {})
      await tab.reaches([live ?? 'stream'], { seconds: 10 })
      await until(async () => (await b.people()).length === 2, { what: async () => `both are in the list: ${await b.people()}` })
      // The rung is known to others once the tab has said so; and a change of it is no leaving.
      await new Promise((resolve) => setTimeout(resolve, 2500))
      /** @type {Promise<{ left: number, away: boolean }>} measured in Ben's browser, as he sees it */
      const leaving = b.page.evaluate(
        () =>
          new Promise((resolve) => {
            const list = /** @type {HTMLElement} */ (document.querySelector('#here'))
            const count = () => list.querySelectorAll('[title], [aria-label], [data-name]').length
            let away = false
            const watch = new MutationObserver(() => {
              away ||= list.innerHTML.includes('away')
              if (count() < 2) {
                watch.disconnect()
                resolve({ left: Date.now(), away })
              }
            })
            watch.observe(list, { subtree: true, childList: true, attributes: true, characterData: true })
          }),
      )
      const begun = Date.now()
      await tab.page.close()
      const closed = Date.now() - begun
      const { left, away } = await leaving
      console.log(`# ${live ?? 'shared'}: gone after ${left - begun} ms, of which the browser took up to ${closed} to close it`)
      assert.ok(left - begun < 1000 * slowness, `${left - begun} ms`)
      assert.equal(away, false)
    })
  }
})
