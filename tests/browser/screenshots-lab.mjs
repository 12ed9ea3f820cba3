// Makes docs/screenshots/lab-*.png: node tests/browser/screenshots-lab.mjs
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startBrowser } from './harness/browser.mjs'
import { root } from './harness/processes.mjs'
import { startServer } from './harness/server.mjs'

const folder = join(root, 'docs/screenshots')
mkdirSync(folder, { recursive: true })

/** Long enough that polling every 5 s has drawn its teeth. */
const RUN_MS = 32_000

const server = await startServer()
const people = await startBrowser()

// All four at once would measure how busy this machine is.
for (const [label, viewport, phone] of /** @type {const} */ ([
  ['1280', { width: 1280, height: 800 }, false],
  ['390', { width: 390, height: 844 }, true],
])) {
  const options = { viewport, hasTouch: phone, isMobile: phone, deviceScaleFactor: phone ? 2 : 1 }
  const mira = await people.person(server.url, { ...options, colorScheme: 'light' })
  const page = await mira.context.newPage()
  await page.goto('/lab')
  await page.click('#lab-start')
  await page.waitForSelector('#lab[data-state="running"]')
  await page.waitForTimeout(RUN_MS)
  // While a poll is late.
  await page.waitForFunction(() => parseFloat(document.querySelector('.lab-c2 .lab-now strong')?.textContent ?? '') > 3, null, { polling: 50 })
  await page.click('#lab-pause')
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    // On a phone down to the charts; what is below is as on a wide screen.
    const clip = phone ? { x: 0, y: 0, width: viewport.width, height: 1500 } : undefined
    await page.screenshot({ path: join(folder, `lab-${label}${colorScheme === 'dark' ? '-dark' : ''}.png`), fullPage: true, clip })
  }
  await page.click('#lab-stop')
  await mira.close()
}
await people.browser.close()
await server.stop()
console.log(`written to ${folder}`)
