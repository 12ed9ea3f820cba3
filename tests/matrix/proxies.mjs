// Real proxies as people run them, in front of a wiki: what the page must come to behind each. Each is started from a
// template of tests/support, on a free port, in a folder of its own.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startNginx } from '../browser/harness/server.mjs'
import { freePort, root, startProcess, temporaryFolder, until } from '../browser/harness/processes.mjs'

/** @typedef {import('./rows.mjs').Row} Row */
/** @typedef {import('./row.mjs').Network} Network */
/** @typedef {{ program: string, start: (port: number) => Promise<Network> }} Real */

const support = join(root, 'tests/support')
const sbin = `${process.env.PATH}:/usr/sbin:/sbin`
/** Where Debian's Apache keeps its modules. */
const APACHE_MODULES = '/usr/lib/apache2/modules'

/**
 * @param {string} file @param {Record<string, string>} values
 */
function filled(file, values) {
  let text = readFileSync(join(support, file), 'utf8')
  for (const [name, value] of Object.entries(values)) text = text.replaceAll(`{{${name}}}`, value)
  return text
}

/**
 * @param {string} kind names the folder of templates
 * @param {(place: { folder: string, port: number }) => { config: string, program: string, args: (file: string) => string[], env?: Record<string, string> }} how
 * @returns {Promise<Network>}
 */
async function start(kind, how) {
  const folder = temporaryFolder(kind)
  const port = await freePort()
  const { config, program, args, env = {} } = how({ folder, port })
  const file = join(folder, 'config')
  writeFileSync(file, config)
  // Squid and Apache give up being root, and must still write here.
  chmodSync(folder, 0o777)
  const running = await startProcess(program, args(file), { env: { PATH: sbin, ...env }, cwd: folder })
  const url = `http://127.0.0.1:${port}`
  await until(() => fetch(url).then(() => true, () => false), { seconds: 20, what: () => `${program} answered: ${running.log().slice(-2000)}`, every: 50 })
  return { url, stop: () => running.stop('SIGTERM') }
}

/** @param {string} template */
const nginx = (template) => ({ program: 'nginx', start: (/** @type {number} */ target) => startNginx(template, target) })

/** @param {string} template @returns {Real} */
const haproxy = (template) => ({
  program: 'haproxy',
  start: (target) =>
    start('haproxy', ({ port }) => ({
      config: filled(`haproxy/${template}.cfg`, { port: String(port), target: `127.0.0.1:${target}` }),
      program: 'haproxy',
      args: (file) => ['-db', '-f', file],
    })),
})

/** @param {string} template @param {boolean} forward @returns {Real} */
const squid = (template, forward) => ({
  program: 'squid',
  async start(target) {
    const network = await start('squid', ({ folder, port }) => ({
      config: filled(`squid/${template}.conf`, { common: filled('squid/common.conf', { folder }), port: String(port), target_port: String(target) }),
      program: 'squid',
      args: (file) => ['-N', '-f', file],
    }))
    return forward ? { ...network, url: `http://127.0.0.1:${target}`, forward: network.url } : network
  },
})

/** @param {string} [more] @returns {Real} */
const apache = (more) => ({
  program: 'apache2',
  start: (target) =>
    start('apache', ({ folder, port }) => {
      const modules = APACHE_MODULES
      return {
        config: filled('apache/stock.conf', {
          more: more ? filled(`apache/${more}.more`, { modules }) : '',
          user: process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : '',
          folder,
          modules,
          port: String(port),
          target: `127.0.0.1:${target}`,
        }),
        program: 'apache2',
        args: (file) => ['-DFOREGROUND', '-f', file],
      }
    }),
})

/** @param {string} template @returns {Real} */
const caddy = (template) => ({
  program: 'caddy',
  start: (target) =>
    start('caddy', ({ folder, port }) => {
      mkdirSync(join(folder, 'home'))
      return {
        config: filled(`caddy/${template}.caddyfile`, { port: String(port), target: `127.0.0.1:${target}` }),
        program: 'caddy',
        args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
        env: { HOME: join(folder, 'home') },
      }
    }),
})

/** @param {string} program */
export const installed = (program) => sbin.split(':').some((folder) => existsSync(join(folder, program)))

const AT_ONCE = 'hello and probe'
const MUTE = 'hello within 4 s, then hold'

/** @type {(Row & { real: Real })[]} */
export const proxies = [
  { id: 'nginx, stock', number: 9, does: '`proxy_pass` and nothing else: HTTP/1.0 to the server; `X-Accel-Buffering: no` switches buffering off.', real: nginx('stock'), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'nginx, HTTP/1.0, X-Accel-Buffering ignored', number: 1, does: 'A stream arrives when it ends.', real: nginx('ignore'), pace: 3000, rungs: ['hold', 'stream'], within: 9, because: `${MUTE}; padding may fill its buffers`, short: true },
  { id: 'nginx, buffering on, HTTP/1.1', number: 2, does: '`proxy_buffering on` and the header ignored; chunks are still passed on as they come.', real: nginx('buffered'), rungs: ['stream'], within: 5, because: AT_ONCE },
  { id: 'nginx, gzip on', number: 11, does: '`gzip on` for `text/event-stream`, HTTP/1.1.', real: nginx('gzip'), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'nginx, gzip on, HTTP/1.0', number: 11, does: 'The same with HTTP/1.0 to the server.', real: nginx('gzip10'), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'nginx, proxy_cache', number: 12, does: '`proxy_cache` that follows Cache-Control.', real: nginx('cache-stock'), rungs: ['stream'], within: 5, because: AT_ONCE },
  { id: 'nginx, proxy_cache by path, headers ignored', number: 12, does: 'Everybody gets the first answer, for ten minutes; streams are mute.', real: nginx('cache'), pace: 3000, rungs: ['poll'], within: 15, because: 'mute, then wrong nonces, then POST', news: 6, short: true },
  { id: 'nginx, proxy_intercept_errors', number: 18, does: 'Errors become a page with status 200.', real: nginx('intercept'), rungs: ['stream'], within: 5, because: AT_ONCE },
  { id: 'nginx, proxy_read_timeout 5s', number: 5, does: 'What is silent for 5 s is broken off.', real: nginx('timeout'), rungs: ['hold', 'poll'], within: 75, news: 6, because: 'three ends within 2 min, each after 5 s of silence', sways: true, pace: 20000, lasts: 60, quickLasts: 45, short: true },
  { id: 'haproxy, stock', number: 5, does: 'The time-outs of Debian’s file: 50 s.', real: haproxy('stock'), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'haproxy, http-no-delay', number: 0, does: 'Without this option it keeps each small piece for 200 ms.', real: haproxy('no-delay'), rungs: ['stream'], within: 5, because: AT_ONCE },
  { id: 'haproxy, timeout server 5s', number: 5, does: 'What is silent for 5 s is broken off, held requests with 504.', real: haproxy('short'), rungs: ['hold', 'poll'], within: 75, news: 6, because: 'three ends within 2 min, each after 5 s of silence', sways: true, pace: 20000, lasts: 60, quickLasts: 45, short: true },
  { id: 'haproxy, http-buffer-request', number: 0, does: 'Requests are read whole before they are sent on.', real: haproxy('buffer-request'), rungs: ['stream'], within: 5, because: AT_ONCE },
  { id: 'haproxy, compression', number: 11, does: '`compression algo gzip` for `text/event-stream`.', real: haproxy('compression'), rungs: ['stream', 'hold'], within: 8, because: AT_ONCE },
  { id: 'squid, in front', number: 12, does: 'An accelerator (`accel`, `cache_peer originserver`).', real: squid('reverse', false), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'squid, forward', number: 12, does: 'The proxy that a company’s browsers are told to use.', real: squid('forward', true), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'apache, stock', number: 0, does: '`ProxyPass` and nothing else.', real: apache(), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'apache, DEFLATE', number: 11, does: '`SetOutputFilter DEFLATE`.', real: apache('deflate'), rungs: ['stream', 'hold'], within: 8, because: AT_ONCE },
  { id: 'caddy, stock', number: 0, does: '`reverse_proxy` and nothing else.', real: caddy('stock'), rungs: ['stream'], within: 5, because: AT_ONCE, short: true },
  { id: 'caddy, encode gzip', number: 11, does: 'The same with `encode gzip`, which keeps the first 512 bytes until there are more.', real: caddy('compressed'), rungs: ['stream', 'hold'], within: 8, because: `${AT_ONCE}, or ${MUTE}` },
]
