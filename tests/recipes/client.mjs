// Bare HTTP over TLS, as a browser on another machine speaks it: the wiki's name, a certificate, an address of its own.
import { request } from 'node:https'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { constants, createGunzip } from 'node:zlib'

/** The name in the recipes. */
export const NAME = 'wiki.example.org'
export const ORIGIN = `https://${NAME}`

/** Where this client comes from: not where the proxy does. */
export const CLIENT = '127.0.0.2'

/** @typedef {{ method?: string, headers?: Record<string, string>, body?: string | Buffer, agent?: import('node:https').Agent }} Options */

/**
 * Starts a request to the proxy on a port.
 * @param {number} port @param {string} path @param {Options} options
 * @returns {Promise<{ message: import('node:http').IncomingMessage, end(): void }>}
 */
function start(port, path, { method = 'GET', headers = {}, body, agent } = {}) {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method,
        agent: agent ?? false,
        localAddress: CLIENT,
        servername: NAME,
        rejectUnauthorized: false,
        headers: { Host: NAME, ...length, ...headers },
      },
      (message) => resolve({ message, end: () => asked.destroy() }),
    )
    asked.on('error', reject)
    asked.end(body)
  })
}

/**
 * A whole answer.
 * @param {number} port @param {string} path @param {Options} options
 */
export async function ask(port, path, options = {}) {
  const begun = performance.now()
  const { message } = await start(port, path, options)
  const parts = []
  for await (const part of message) parts.push(part)
  return { status: message.statusCode ?? 0, headers: message.headers, text: Buffer.concat(parts).toString(), ms: performance.now() - begun }
}

/** @typedef {{ event: string, data: any, ms: number }} Frame `ms` since the stream was asked for */

/**
 * The frames of a text, as far as it goes.
 * @param {() => number} since @param {Frame[]} frames
 */
function parser(since, frames) {
  let rest = ''
  return (/** @type {Buffer | string} */ bytes) => {
    rest += bytes
    for (let at = rest.indexOf('\n\n'); at >= 0; at = rest.indexOf('\n\n')) {
      const lines = rest.slice(0, at).split('\n')
      rest = rest.slice(at + 2)
      const field = (/** @type {string} */ name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
      const event = field('event')
      if (event) frames.push({ event, data: JSON.parse(field('data') ?? 'null'), ms: since() })
    }
  }
}

/**
 * An open stream through the proxy.
 * @param {number} port @param {string} topics @param {Record<string, string>} headers
 */
export async function openStream(port, topics, headers = {}) {
  const begun = performance.now()
  const since = () => performance.now() - begun
  const { message, end } = await start(port, `/_live/events?mode=stream&topics=${topics}&nonce=n1`, { headers: { Accept: 'text/event-stream', ...headers } })
  /** @type {Frame[]} */
  const frames = []
  const stream = { status: message.statusCode, headers: message.headers, frames, begun, endedMs: /** @type {number | null} */ (null), end }
  message.on('close', () => (stream.endedMs = since()))
  message.on('error', () => {})
  const take = parser(since, frames)
  if (message.headers['content-encoding'] === 'gzip') {
    const plain = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH })
    plain.on('data', take)
    plain.on('error', () => {})
    message.pipe(plain)
  } else message.on('data', take)
  return stream
}

/**
 * An open stream of the server itself, for comparison.
 * @param {number} port @param {string} topics
 */
export async function openDirect(port, topics) {
  const begun = performance.now()
  /** @type {Frame[]} */
  const frames = []
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET /_live/events?mode=stream&topics=${topics}&nonce=n1 HTTP/1.0\r\nHost: ${NAME}\r\n\r\n`)
  socket.on('error', () => {})
  let head = ''
  const take = parser(() => performance.now() - begun, frames)
  socket.on('data', (bytes) => {
    if (head.includes('\r\n\r\n')) return take(bytes)
    head += bytes
    const at = head.indexOf('\r\n\r\n')
    if (at >= 0) take(head.slice(at + 4))
  })
  return { frames, begun, end: () => socket.destroy() }
}

/**
 * The first frames of a stream over HTTP/2, and another request on the same connection meanwhile.
 * @param {number} port @param {number} ms how long to listen
 */
export async function listenByHttp2(port, ms) {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { servername: NAME, rejectUnauthorized: false })
  session.on('error', () => {})
  /** @type {Frame[]} */
  const frames = []
  const begun = performance.now()
  const stream = session.request({ ':path': '/_live/events?mode=stream&topics=site&nonce=n1', ':authority': NAME, accept: 'text/event-stream' })
  stream.on('data', parser(() => performance.now() - begun, frames))
  stream.on('error', () => {})
  const beside = await new Promise((resolve, reject) => {
    const other = session.request({ ':path': '/healthz', ':authority': NAME })
    other.on('response', (headers) => resolve(headers[':status']))
    other.on('error', reject)
    other.resume()
  })
  await new Promise((resolve) => setTimeout(resolve, ms))
  session.destroy()
  return { frames, beside }
}
