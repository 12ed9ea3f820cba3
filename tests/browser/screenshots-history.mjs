// Makes the pictures of the history in docs/screenshots: node tests/browser/screenshots-history.mjs
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startPage } from './harness/authors.mjs'
import { networkNoise, startBrowser } from './harness/browser.mjs'
import { root } from './harness/processes.mjs'
import { startServer } from './harness/server.mjs'

const folder = join(root, 'docs/screenshots')
mkdirSync(folder, { recursive: true })

const PATH = 'Observing log'
const server = await startServer()
const people = await startBrowser()

// --- A page that three people wrote ---

const page = await startPage(server, PATH, ['Anna', 'Ben', 'Chidi'], { text: '# Observing log\n\n' })

/** Somebody types, word by word, where a text stands or at the end. @param {number} by @param {string} text @param {string} [before] */
async function types(by, text, before) {
  let from = before === undefined ? page.text().length : page.text().indexOf(before)
  for (const word of text.match(/\S+\s*|\s+/g) ?? []) {
    await page.write(by, [{ from, insert: word }])
    from += word.length
  }
}

const PLACES = '## Places\n\n- Harbour roof: no lamps, but the wind\n- Old quarry: dark down to the horizon, ask the owner first\n\n'
await types(0, 'Comet 12P/Pons-Brooks comes back every 71 years. We note what we see, when, and with what.\n\n')
await types(0, PLACES)
await page.name(0, 'First draft')
await types(1, '## Before each session\n\n- [ ] Dew heater charged\n- [ ] Chart printed\n- [ ] Somebody brings soup\n\n')
await page.name(1, 'A list to tick off')
await types(2, '| Night | Place | Magnitude |\n| --- | --- | ---: |\n| 3 March | Harbour roof | 6.1 |\n| 9 March | Old quarry | 5.4 |\n\n', '## Places')
await page.name(2, 'What we saw in March')
const before = page.revision()
// Who rewrites: words within a line, a block that goes elsewhere, a line that is gone.
const at = (/** @type {string} */ text) => page.text().indexOf(text)
await page.write(1, [{ from: at('every 71 years'), remove: 'every 71 years'.length, insert: 'every 71 years, next in 2095' }])
await page.write(1, [{ from: at('We note what we see'), remove: 'We note'.length, insert: 'Everybody notes' }])
await page.write(1, [{ from: at('what we see'), remove: 'what we see'.length, insert: 'what they see' }])
await page.write(2, [{ from: at(PLACES), remove: PLACES.length }])
await page.write(2, [{ from: page.text().length, insert: PLACES }])
await page.write(0, [{ from: at('- [ ] Chart printed\n'), remove: '- [ ] Chart printed\n'.length }])
await types(2, '| 14 March | Harbour roof | 5.0 |\n', '\n## Before')
await types(0, '\n> The best view is an hour after sunset, low in the west.\n')
await page.name(0, 'Ready for the autumn')
const after = page.revision()

// --- Pictures ---

const way = encodeURIComponent(PATH)
const views = /** @type {const} */ ([
  ['history', `/history/${way}`, 'main'],
  ['diff', `/diff/${way}?from=${before}&to=${after}`, '.diff'],
  ['diff-split', `/diff/${way}?from=${before}&to=${after}&view=split`, '.diff'],
  ['diff-rendered', `/diff/${way}?from=${before}&to=${after}&view=rendered`, '.diff-rendered'],
  ['playback', `/playback/${way}?at=${Math.floor(after * 0.6)}`, '#life-text .who'],
  ['blame', `/blame/${way}`, '#life-text .who'],
  ['recent', '/recent', '.revision'],
  ['costs', '/settings/history', 'main'],
])

for (const [label, viewport, phone] of /** @type {const} */ ([
  ['1280', { width: 1280, height: 800 }, false],
  ['390', { width: 390, height: 844 }, true],
])) {
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    const suffix = `${label}${colorScheme === 'dark' ? '-dark' : ''}`
    const options = { viewport, colorScheme, hasTouch: phone, isMobile: phone, deviceScaleFactor: phone ? 2 : 1, allow: networkNoise }
    const me = await people.person(server.url, options)
    const tab = await me.context.newPage()
    for (const [name, address, wanted] of views) {
      await tab.goto(address)
      await tab.locator(wanted).first().waitFor()
      await tab.waitForTimeout(600)
      await tab.screenshot({ path: join(folder, `${name}-${suffix}.png`) })
    }
    const reader = await me.read(PATH)
    await reader.reaches(['stream'])
    await reader.page.locator('.page-actions .menu summary').click()
    await reader.page.locator('#authors-toggle').click()
    await reader.page.locator('.block-authors').first().waitFor()
    await reader.page.keyboard.press('Escape')
    await reader.page.waitForTimeout(600)
    await reader.page.screenshot({ path: join(folder, `margin-${suffix}.png`) })
    await me.close()
  }
}
await people.browser.close()
await server.stop()
console.log(`written to ${folder}`)
