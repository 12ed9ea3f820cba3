// People who write without a browser: each with a cookie, a name and a Yjs client of their own, all on one document, so
// that a test knows every character's author by itself.
import { Y } from '../../../static/vendor/editor.js'
import { encodePath } from './server.mjs'

/** @typedef {{ handle: string, name: string, colour: number, cookie: string, client: number }} Author */
/** @typedef {{ from: number, remove?: number, insert?: string }} Change a part of the text, in UTF-16 units */

/**
 * A new page and those who write it.
 * @param {{ url: string }} server
 * @param {string} path
 * @param {string[]} names
 * @param {{ by?: number, text?: string }} first the first revision
 */
export async function startPage(server, path, names, { by = 0, text = 'Text.\n' } = {}) {
  // A cookie without proof of where a request comes from is refused.
  const as = (/** @type {Author} */ { cookie }) => ({ cookie, origin: server.url })
  /** @type {Author[]} */
  const authors = []
  for (const name of names) authors.push(await join(server.url, name, authors.map(({ colour }) => colour)))
  const made = await fetch(`${server.url}/api/v1/pages/${encodePath(path)}`, {
    method: 'PUT',
    headers: { 'content-type': 'text/markdown', 'if-none-match': '*', ...as(authors[by]) },
    body: text,
  })
  const { id, revision } = await must(made)
  for (const [i, author] of authors.entries()) {
    const { client_id } = await must(await post(`/_live/pages/${id}/session`, author, JSON.stringify({ client: `author${id}n${i}` }), 'application/json'))
    author.client = client_id
  }
  const doc = new Y.Doc()
  const body = doc.getText('body')
  Y.applyUpdate(doc, new Uint8Array(await (await fetch(`${server.url}/_live/pages/${id}/doc`)).arrayBuffer()))
  let head = revision
  let sent = 0

  /** @param {string} to @param {Author} author @param {BodyInit} body @param {string} type */
  function post(to, author, body, type) {
    return fetch(server.url + to, { method: 'POST', headers: { 'content-type': type, ...as(author) }, body })
  }

  return {
    id,
    authors,
    text: () => body.toString(),
    revision: () => head,
    /** One edit, which is one revision. @param {number} by @param {Change[]} changes from the last to the first */
    async write(by, changes) {
      const author = authors[by]
      doc.clientID = author.client
      /** @type {Uint8Array[]} */
      const made = []
      const keep = (/** @type {Uint8Array} */ update) => void made.push(update)
      doc.on('update', keep)
      doc.transact(() => {
        for (const { from, remove = 0, insert = '' } of changes) {
          if (remove > 0) body.delete(from, remove)
          if (insert) body.insert(from, insert)
        }
      })
      doc.off('update', keep)
      sent += 1
      const query = new URLSearchParams({ client: `author${id}n${by}`, op: `authors-${id}-${sent}` })
      const { rev } = await must(await post(`/_live/pages/${id}/updates?${query}`, author, /** @type {any} */ (made[0]), 'application/octet-stream'))
      head = rev
      return rev
    },
    /** Names the newest revision. @param {number} by @param {string} name */
    async name(by, name) {
      const form = new URLSearchParams({ rev: String(head), name })
      const answer = await fetch(`${server.url}/history/${encodePath(path)}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...as(authors[by]) },
        body: form.toString(),
        redirect: 'manual',
      })
      if (answer.status !== 303) throw new Error(`naming: ${answer.status} ${await answer.text()}`)
    },
  }
}

/** Somebody new under a name, with a colour that nobody of `taken` has. @param {string} url @param {string} name @param {number[]} taken @returns {Promise<Author>} */
async function join(url, name, taken) {
  for (;;) {
    const met = await fetch(`${url}/name`)
    await met.text()
    const answer = await fetch(`${url}/name`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', origin: url, cookie: cookieOf(met) },
      body: new URLSearchParams({ name }).toString(),
    })
    const cookie = cookieOf(answer)
    const { you } = await must(answer)
    if (!taken.includes(you.colour)) return { handle: you.id, name, colour: you.colour, cookie, client: 0 }
  }
}

/** @param {Response} answer */
function cookieOf(answer) {
  const cookie = answer.headers.getSetCookie().find((one) => one.startsWith('halley_guest='))
  if (!cookie) throw new Error(`${answer.url}: ${answer.status}, nobody was made known`)
  return cookie.split(';')[0]
}

/** @param {Response} answer */
async function must(answer) {
  const body = await answer.text()
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status} ${body}`)
  return JSON.parse(body)
}
