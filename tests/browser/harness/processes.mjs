// Child processes of a test: started with a sign of readiness, ended with the test, whatever happens to it.
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the whole project. */
export const root = fileURLToPath(new URL('../../../', import.meta.url))

/** @type {Set<() => void>} what must be undone when this process ends */
const undo = new Set()
process.on('exit', () => {
  for (const step of undo) step()
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

/** A free port of this machine. Somebody else may take it before we do: start again then. */
export async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)))
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** A folder that goes with this process. */
export function temporaryFolder(name = 'test') {
  const folder = mkdtempSync(join(tmpdir(), `halley-${name}-`))
  undo.add(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/**
 * Starts a program and waits until a line of its output matches; without `ready`, until it runs.
 * @param {string} program
 * @param {string[]} args
 * @param {{ ready?: RegExp, env?: Record<string, string>, cwd?: string, seconds?: number, children?: boolean }} options
 *   `children`: it has some of its own, which only it can end
 */
export async function startProcess(program, args, { ready, env = {}, cwd = root, seconds = 30, children = false }) {
  // Our own variables are no settings of the server.
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HALLEY_')))
  const child = spawn(program, args, { cwd, env: { ...clean, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const kill = () => child.kill(children ? 'SIGTERM' : 'SIGKILL')
  undo.add(kill)
  let log = ''
  /** @type {Promise<{ code: number | null, signal: string | null }>} */
  const exited = new Promise((resolve) => {
    child.on('error', (error) => {
      log += String(error)
      resolve({ code: null, signal: null })
    })
    child.on('exit', (code, signal) => resolve({ code, signal }))
  })
  void exited.then(() => undo.delete(kill))
  const match = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} was not ready after ${seconds} s:\n${log}`)), seconds * 1000)
    /** @param {Buffer} data */
    const listen = (data) => {
      log += data
      if (log.length > 200_000) log = log.slice(-100_000)
      const found = ready?.exec(log)
      if (found) {
        clearTimeout(timer)
        resolve(found)
      }
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    if (!ready) {
      child.on('spawn', () => {
        clearTimeout(timer)
        resolve(null)
      })
    }
    void exited.then(({ code, signal }) => {
      clearTimeout(timer)
      reject(new Error(`${program} ended with ${code ?? signal}:\n${log}`))
    })
  })
  // A test that failed may leave it running: it must not keep this process from ending, and goes with it.
  const streams = /** @type {import('node:net').Socket[]} */ (/** @type {unknown} */ ([child.stdout, child.stderr]))
  for (const handle of [child, ...streams]) handle.unref()
  return {
    pid: /** @type {number} */ (child.pid),
    match: /** @type {RegExpExecArray} */ (match),
    log: () => log,
    exited,
    /** Sends a signal and waits for the end. @param {NodeJS.Signals} signal */
    async stop(signal = 'SIGTERM') {
      child.ref()
      child.kill(signal)
      return exited
    },
    /** Sends a signal and does not wait. @param {NodeJS.Signals} signal */
    signal(signal) {
      child.kill(signal)
    },
  }
}

/**
 * Asks again and again until the answer is true.
 * @param {() => unknown} question
 * @param {{ seconds?: number, what?: string | (() => string | Promise<string>), every?: number }} options
 */
export async function until(question, { seconds = 10, what = 'it happened', every = 25 } = {}) {
  const end = Date.now() + seconds * 1000 * slowness
  for (;;) {
    const answer = await question()
    if (answer) return answer
    if (Date.now() > end) throw new Error(`${seconds} s passed before ${typeof what === 'function' ? await what() : what}`)
    await new Promise((resolve) => setTimeout(resolve, every))
  }
}

/** How much longer than usual this machine may take: TEST_SLOW=3 on a busy one. */
export const slowness = Number(process.env.TEST_SLOW ?? 1)

/** Whether the long forms run. */
export const long = process.env.TEST_LONG === '1'
