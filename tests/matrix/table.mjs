// The results as a table, for a terminal and for docs/fault-matrix.md.

/** @typedef {import('./row.mjs').Cell} Cell */
/** @typedef {import('./rows.mjs').Row} Row */

/** @param {number | null} ms */
const seconds = (ms) => (ms === null ? '–' : `${(ms / 1000).toFixed(1)} s`)

/** @param {number[]} sorted @param {number} share */
const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]

/** @param {number[]} news */
function delays(news) {
  if (news.length === 0) return '–'
  const [half, most] = [quantile(news, 0.5), quantile(news, 1)].map((ms) => (ms < 1000 ? `${ms} ms` : seconds(ms)))
  return `${half} / ${most}`
}

const HEAD = ['row', 'who', 'first data', 'rung', 'reached', 'news p50 / max', 'back', 'events', 'lost', 'twice', 'order', 'holds']

/** @param {Cell} cell @returns {string[]} */
function columns(cell) {
  return [
    cell.row, cell.who, seconds(cell.first), cell.rung, seconds(cell.rungAfter), delays(cell.news), seconds(cell.back), String(cell.events),
    String(cell.lost), String(cell.twice), String(cell.order), cell.problems.length === 0 ? 'yes' : 'NO',
  ]
}

/** @param {Cell[]} cells */
export function plain(cells) {
  const lines = [HEAD, ...cells.map(columns)]
  const widths = HEAD.map((_, at) => Math.max(...lines.map((line) => line[at].length)))
  return lines.map((line) => line.map((text, at) => text.padEnd(widths[at])).join('  ').trimEnd()).join('\n')
}

/** @param {Cell} cell @param {number} seed */
export function failure(cell, seed) {
  return [`${cell.row}, ${cell.who} (seed ${seed}):`, ...cell.problems.map((line) => `  ! ${line}`), ...cell.timeline.map((line) => `    ${line}`)].join('\n')
}

/** @param {Cell[]} cells @param {Row[]} rows @param {(row: Row) => string} how what stands behind the sentence about a row */
export function markdown(cells, rows, how) {
  const lines = ['| # | network | who | first data | rung | reached | bound | news p50 / max | back | events | lost / twice / order |', `| ${'--- | '.repeat(11)}`.trimEnd()]
  for (const row of rows) {
    for (const cell of cells.filter((one) => one.row === row.id)) {
      const held = cell.problems.length === 0 ? '' : ' **fails**'
      const bound = row.rungs || row.states ? `${row.within} s` : '–'
      const name = cell.who === 'editor' ? `**${row.id}**: ${row.does}${how(row)}` : '″'
      lines.push(
        `| ${cell.who === 'editor' ? row.number || '' : ''} | ${name} | ${cell.who} | ${seconds(cell.first)} | ${cell.rung} | ${seconds(cell.rungAfter)} | ${bound} | ${delays(cell.news)} | ${seconds(cell.back)} | ${cell.events} | ${cell.lost} / ${cell.twice} / ${cell.order}${held} |`,
      )
    }
  }
  return lines.join('\n')
}
