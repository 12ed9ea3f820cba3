// The real server, the fault proxy and nginx, each on a free port.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort, root, startProcess, temporaryFolder, until } from './processes.mjs'

const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target')

/** @param {string} name @param {string} variable */
function built(name, variable) {
  const named = process.env[variable]
  if (named) return named
  const found = ['release', 'debug'].map((profile) => join(target, profile, name)).find((path) => existsSync(path))
  if (!found) throw new Error(`${name} is not built: run tests/run, or set ${variable}`)
  return found
}

/**
 * `halley serve` on a free port with data of its own.
 * @param {{ env?: Record<string, string>, data?: string, cwd?: string }} options
 */
export async function startServer({ env = {}, data = temporaryFolder('data'), cwd = temporaryFolder('cwd') } = {}) {
  const port = await freePort()
  const start = () =>
    startProcess(built('halley', 'HALLEY_BIN'), ['serve', '--port', String(port), '--data', data], {
      ready: /listening on (https?:\/\/[\d.]+:\d+)/,
      // What is shipped is what is tested, also where a debug build stands in.
      env: { HALLEY_RELOAD: 'false', ...env },
      cwd,
    })
  let running = await start()
  const server = {
    port,
    data,
    /** `https` when its settings make it so. */
    url: running.match[1],
    get pid() {
      return running.pid
    },
    log: () => running.log(),
    /** Ends the server as an operator does; the exit code must be 0. */
    async stop() {
      const begun = Date.now()
      const { code, signal } = await running.stop('SIGTERM')
      if (code !== 0) throw new Error(`SIGTERM: ended with ${code ?? signal}:\n${running.log().slice(-4000)}`)
      return Date.now() - begun
    },
    /** Ends the server as a power cut does. */
    kill: () => running.stop('SIGKILL'),
    /** @param {NodeJS.Signals} signal */
    signal: (signal) => running.signal(signal),
    /** Starts again on the same port and data. */
    async start() {
      running = await start()
    },
    /** The Markdown of a page. @param {string} path */
    async raw(path) {
      const answer = await fetch(`${server.url}/raw/${encodePath(path)}`)
      if (!answer.ok) throw new Error(`GET /raw/${path}: ${answer.status}`)
      return answer.text()
    },
    /** The revision of a page. @param {string} path */
    async revision(path) {
      const answer = await fetch(`${server.url}/raw/${encodePath(path)}`)
      await answer.text()
      return Number(answer.headers.get('etag')?.replace(/^(W\/)?"|"$/g, ''))
    },
    /**
     * Creates a page, or merges a whole text into it.
     * @param {string} path @param {string} text @param {number} [base]
     */
    async put(path, text, base) {
      const answer = await fetch(`${server.url}/api/v1/pages/${encodePath(path)}`, {
        method: 'PUT',
        headers: {
          'content-type': 'text/markdown',
          ...(base === undefined ? { 'if-none-match': '*' } : { 'if-match': `"${base}"` }),
        },
        body: text,
      })
      const body = await answer.text()
      if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status} ${body}`)
      return JSON.parse(body)
    },
  }
  return server
}

/**
 * A data directory with one page, `Large`, that ten people have edited very often, by a server that has ended.
 * @param {{ edits: number, units?: number, seed?: number }} options `units`: about how long the page is, in UTF-16 units
 */
export async function largePage({ edits, units = 100_000, seed = 7 }) {
  const data = temporaryFolder('data')
  const options = ['--data', data, '--edits', edits, '--units', units, '--seed', seed].map(String)
  await promisify(execFile)(built('examples/large_page', 'LARGE_PAGE_BIN'), options)
  return data
}

/** @param {string} path */
export const encodePath = (path) => path.split('/').map(encodeURIComponent).join('/')

/**
 * The proxy that misbehaves on demand, in front of a port.
 * @param {number} targetPort @param {string} mode
 */
export async function startFaultProxy(targetPort, mode = 'off') {
  const running = await startProcess(
    built('examples/fault_proxy', 'FAULT_PROXY_BIN'),
    ['--target', `127.0.0.1:${targetPort}`, '--mode', mode],
    { ready: /listening on (http:\/\/[\d.]+:\d+) control [\d.]+:(\d+)/ },
  )
  const [, url, controlPort] = running.match
  /** @param {string} line @returns {Promise<string>} */
  const say = (line) =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(controlPort), '127.0.0.1', () => socket.write(`${line}\n`))
      socket.on('data', (data) => {
        socket.destroy()
        resolve(String(data).trim())
      })
      socket.on('error', reject)
    })
  return {
    url,
    port: Number(new URL(url).port),
    /** @param {string} mode */
    async mode(mode) {
      const answer = await say(`mode ${mode}`)
      if (answer !== 'ok') throw new Error(answer)
    },
    stats: async () => JSON.parse(await say('stats')),
    stop: () => running.stop('SIGKILL'),
  }
}

/**
 * A real nginx with one of the files of tests/support/nginx.
 * @param {string} template @param {number} targetPort
 */
export async function startNginx(template, targetPort) {
  const folder = temporaryFolder('nginx')
  const port = await freePort()
  const text = readFileSync(join(root, 'tests/support/nginx', `${template}.conf`), 'utf8')
  writeFileSync(
    join(folder, 'nginx.conf'),
    text
      .replaceAll('{{port}}', String(port))
      .replaceAll('{{target}}', `127.0.0.1:${targetPort}`)
      .replaceAll('{{user}}', process.getuid?.() === 0 ? 'user root;' : ''),
  )
  const running = await startProcess('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], {
    ready: /start worker process/,
    children: true,
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  })
  const url = `http://127.0.0.1:${port}`
  await until(() => fetch(`${url}/healthz`).then(() => true, () => false), { what: 'nginx answers' })
  return { url, port, stop: () => running.stop('SIGTERM') }
}
