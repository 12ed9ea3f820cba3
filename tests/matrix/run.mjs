// The fault matrix: every kind of bad network that loopback can show × {editor, reader}, with the page's own modules
// against a real server.
//
//   node tests/matrix/run.mjs                     the short form: some rows, quick ways back
//   node tests/matrix/run.mjs --long              every row, with the times that are shipped
//   node tests/matrix/run.mjs --only proxies      only rows behind real proxies; `faults`, or names of rows, likewise
//   node tests/matrix/run.mjs --long --write      and puts the table into docs/fault-matrix.md
//   node tests/matrix/run.mjs --list
//
// --seed N, --parallel N (rows at the same time); TEST_SLOW=3 stretches the bounds.
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { long as longAsked, root, slowness } from '../browser/harness/processes.mjs'
import { startFaultProxy, startServer } from '../browser/harness/server.mjs'
import { introduction, proxiesIntroduction } from './introduction.mjs'
import { installed, proxies } from './proxies.mjs'
import { playRow, stoodStill, watchStandstills } from './row.mjs'
import { absent, faults } from './rows.mjs'
import { failure, markdown, plain } from './table.mjs'

/** @typedef {import('./row.mjs').Cell} Cell */
/** @typedef {import('./rows.mjs').Row} Row */

const { values: options } = parseArgs({
  options: {
    long: { type: 'boolean', default: longAsked },
    only: { type: 'string', multiple: true, default: [] },
    write: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    parallel: { type: 'string', default: '12' },
  },
})
const long = options.long ?? false
const seed = Number(options.seed)
const all = [...faults, ...proxies]
const groups = { faults, proxies: /** @type {Row[]} */ (proxies) }

/** @returns {Row[]} */
function chosen() {
  const names = options.only ?? []
  if (names.length === 0) return all.filter((row) => long || row.short)
  const found = names.flatMap((name) => {
    const group = groups[/** @type {keyof typeof groups} */ (name)]
    if (group) return group.filter((row) => long || row.short)
    const row = all.find((one) => one.id === name)
    if (!row) throw new Error(`there is no row '${name}'; --list shows them`)
    return [row]
  })
  return found
}

if (options.list) {
  for (const row of all) console.log(`${String(row.number || '').padStart(2)}  ${row.id}${row.short ? '' : '  (long)'}`)
  process.exit(0)
}

const rows = chosen().filter((row) => {
  const real = /** @type {Partial<(typeof proxies)[number]>} */ (row).real
  if (!real || installed(real.program)) return true
  // Not passed over in silence: a row that was not played does not hold.
  throw new Error(`${real.program} is not installed: tests/run tools`)
})
const begun = Date.now()
const server = await startServer()
watchStandstills()
/** @type {Cell[]} */
const cells = []
// The longest first, so that none is left alone at the end.
const lasts = (/** @type {Row} */ row) => (long ? row.lasts ?? 40 : row.quickLasts ?? 20) + row.within
const waiting = [...rows].sort((a, b) => lasts(b) - lasts(a))
console.log(`matrix: ${rows.length} rows × {editor, reader}, ${long ? 'long' : 'short'} form, seed ${seed}`)

async function play() {
  for (let row = waiting.shift(); row; row = waiting.shift()) {
    const { id } = row
    const real = /** @type {Partial<(typeof proxies)[number]>} */ (row).real
    // How long a network lets requests wait is learned from silence, which other rows' new pages would end.
    const alone = row.learns ? await startServer() : null
    const asked = alone ?? server
    const network = () => (real ? real.start(asked.port) : startFaultProxy(asked.port))
    const played = await playRow(row, { server: asked, network, seed: seed + all.indexOf(row), long, say: (line) => console.log(`# ${line}`) })
    await alone?.stop()
    cells.push(...played)
    for (const cell of played) if (cell.problems.length > 0) console.log(`not ok ${failure(cell, seed)}`)
    console.log(`# ${((Date.now() - begun) / 1000).toFixed(0)} s: ${id} ${played.map((cell) => `${cell.who} ${cell.rung}${cell.problems.length > 0 ? ' FAILS' : ''}`).join(', ')}`)
  }
}

await Promise.all(Array.from({ length: Number(options.parallel) }, play))
const order = new Map(all.map((row, at) => [row.id, at]))
cells.sort((a, b) => (order.get(a.row) ?? 0) - (order.get(b.row) ?? 0) || a.who.localeCompare(b.who))
const failed = cells.filter((cell) => cell.problems.length > 0)
console.log(`\n${plain(cells)}\n`)
const sum = (/** @type {'events' | 'lost' | 'twice' | 'order'} */ name) => cells.reduce((total, cell) => total + cell[name], 0)
const line = `${rows.length} rows, ${cells.length} cells, ${failed.length} that do not hold; ${sum('events')} events: ${sum('lost')} lost, ${sum('twice')} twice, ${sum('order')} out of order`
console.log(`matrix: ${line}; seed ${seed}, ${((Date.now() - begun) / 1000).toFixed(0)} s; bounds stretched by up to ${stoodStill()} ms for standstills of this process`)
// As TAP says it, for tests/run to count.
console.log(`# pass ${cells.length - failed.length}\n# fail ${failed.length}`)
await server.stop()

/** What continuous integration gives the short form, in s. */
const SHORT = 360
const tooLong = !long && options.only?.length === 0 && Date.now() - begun > SHORT * 1000 * slowness
if (tooLong) console.log(`not ok the short form took more than ${SHORT} s`)

if (options.write) {
  const machine = `${cpus().length} cores with a load of ${loadavg()[1].toFixed(0)}, Node ${process.versions.node}, ${new Date(begun).toISOString().slice(0, 10)}, ${long ? 'long' : 'short'} form, seed ${seed}, ${((Date.now() - begun) / 1000).toFixed(0)} s`
  const missing = absent.map(({ number, does, why }) => `- ${number}: ${does} (${why}).`).join('\n')
  const seen = (/** @type {Row} */ row) => (row.seen ? ` *Seen at: ${row.seen}.*` : '')
  writeFileSync(
    join(root, 'docs/fault-matrix.md'),
    [introduction(line, machine), markdown(cells, faults, seen), `\nRows of the catalogue that are not here:\n\n${missing}\n`, proxiesIntroduction, markdown(cells, proxies, () => ''), ''].join('\n'),
  )
  console.log('wrote docs/fault-matrix.md')
}
process.exit(failed.length === 0 && !tooLong ? 0 : 1)
