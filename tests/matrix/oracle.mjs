// What really happened: the server's log over a connection of its own, read by hand without any module of the page.

/** @typedef {import('./browser.mjs').LiveEvent} LiveEvent */

export class Oracle {
  /** @param {string} url of the server itself @param {readonly string[]} topics @param {string} cursor where to begin */
  constructor(url, topics, cursor) {
    this.url = url
    this.topics = topics
    this.cursor = cursor
    /** @type {LiveEvent[]} */
    this.events = []
    this.resets = 0
    this.abort = new AbortController()
    this.done = this.follow()
  }

  async follow() {
    const client = Array.from({ length: 20 }, () => 'abcdefghijklmnopqrstuvwxyz'[Math.floor(Math.random() * 26)]).join('')
    while (!this.abort.signal.aborted) {
      try {
        const query = `mode=hold&cursor=${this.cursor}&topics=${this.topics.join(',')}&client=${client}&nonce=o&wait=20`
        const response = await fetch(`${this.url}/_live/events?${query}`, { signal: this.abort.signal })
        const batch = /** @type {any} */ (await response.json())
        if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(batch)}`)
        if (batch.reset) this.resets += 1
        else this.events.push(...batch.events)
        this.cursor = batch.to
      } catch (error) {
        if (this.abort.signal.aborted) return
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  async stop() {
    this.abort.abort()
    await this.done
  }
}

/**
 * What is wrong with a delivery, judged by the log. Events behind the last of the log's are not looked at.
 * @param {readonly LiveEvent[]} log @param {readonly LiveEvent[]} got
 */
export function compare(log, got) {
  const expected = log.map((event) => JSON.stringify(event))
  const found = got.slice(0, log.length).map((event) => JSON.stringify(event))
  if (found.length === expected.length && found.every((event, at) => event === expected[at])) return { lost: 0, twice: 0, order: 0 }
  const all = got.map((event) => JSON.stringify(event))
  const [lost, twice] = [surplus(expected, all), surplus(found, expected)]
  const first = expected.findIndex((event, at) => event !== found[at])
  return { lost, twice, order: lost + twice === 0 ? 1 : 0, first: `${first}: ${expected[first]?.slice(0, 200)} but ${found[first]?.slice(0, 200)}` }
}

/** How many of `these` have no partner in `those`. @param {string[]} these @param {string[]} those */
function surplus(these, those) {
  /** @type {Map<string, number>} */
  const counts = new Map()
  for (const one of those) counts.set(one, (counts.get(one) ?? 0) + 1)
  let without = 0
  for (const one of these) {
    const left = counts.get(one) ?? 0
    if (left === 0) without += 1
    else counts.set(one, left - 1)
  }
  return without
}

/**
 * What is wrong with the words of one person in a text: each number once, in order.
 * @param {string} text @param {string} name @param {number} typed
 */
export function judgeWords(text, name, typed) {
  const numbers = [...text.matchAll(new RegExp(`${name}(\\d+)€`, 'g'))].map(([, number]) => Number(number))
  const distinct = new Set(numbers)
  let lost = 0
  for (let number = 1; number <= typed; number += 1) if (!distinct.has(number)) lost += 1
  const order = numbers.filter((number, at) => at > 0 && number < numbers[at - 1]).length
  return { lost, twice: numbers.length - distinct.size, order }
}
