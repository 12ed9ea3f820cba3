// Makes docs/screenshots: node tests/browser/screenshots.mjs
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { networkNoise, startBrowser } from './harness/browser.mjs'
import { root } from './harness/processes.mjs'
import { startServer } from './harness/server.mjs'

const folder = join(root, 'docs/screenshots')
mkdirSync(folder, { recursive: true })

const handbook = `# Observing log

Comet **12P/Pons-Brooks** comes back every 71 years. We note what we see, when, and with what.

| Night | Place | Magnitude | Tail |
| --- | --- | ---: | --- |
| 3 March | Harbour roof | 6.1 | short, straight |
| 9 March | Old quarry | 5.4 | two degrees |
| 14 March | Harbour roof | 5.0 | bent by the wind |

## Before each session

- [x] Dew heater charged
- [x] Chart printed: see [[Charts/March]]
- [ ] Somebody brings soup

> The best view is an hour after sunset, low in the west.

\`\`\`rust
fn magnitude(flux: f64, reference: f64) -> f64 {
    -2.5 * (flux / reference).log10()
}
\`\`\`
`

const server = await startServer()
const people = await startBrowser()
await server.put('Charts/March', '# March\n')
await server.put('Observing log', handbook)

/** @param {import('./harness/browser.mjs').Person} person @param {string} name */
async function rename(person, name) {
  const page = await person.context.newPage()
  await page.goto('/name')
  await page.fill('input[name="name"]', name)
  await page.locator('form:has(input[name="name"]) [type="submit"]').click()
  await page.close()
}

for (const [label, viewport, phone] of /** @type {const} */ ([
  ['1280', { width: 1280, height: 800 }, false],
  ['390', { width: 390, height: 844 }, true],
])) {
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    const suffix = `${label}${colorScheme === 'dark' ? '-dark' : ''}`
    // What the picture before this one left behind goes.
    await server.put('Observing log', handbook, await server.revision('Observing log'))
    const options = { viewport, colorScheme, hasTouch: phone, isMobile: phone, deviceScaleFactor: phone ? 2 : 1, allow: networkNoise }
    const [me, anna, ben] = await Promise.all([people.person(server.url, options), people.person(server.url), people.person(server.url)])
    await Promise.all([rename(anna, 'Anna'), rename(ben, 'Ben'), rename(me, 'Mira')])
    const [a, b] = await Promise.all([anna.edit('Observing log'), ben.edit('Observing log')])
    const reader = await me.read('Observing log')
    await reader.reaches(['stream'])
    await reader.page.waitForTimeout(500)
    await reader.page.screenshot({ path: join(folder, `view-${suffix}.png`) })
    await reader.page.close()
    const editor = await me.edit('Observing log')
    await editor.reaches(['stream'])
    await editor.placeCaret('Pons-Brooks')
    await editor.page.waitForTimeout(1500)
    // Names stay beside a caret for two seconds after it has moved.
    await a.placeCaret('71 years')
    await b.placeCaret('Somebody brings')
    await editor.page.waitForFunction(() => document.querySelectorAll('#editor .remote-caret:not(.quiet)').length >= 2)
    await editor.page.waitForTimeout(400)
    await editor.page.screenshot({ path: join(folder, `edit-${suffix}.png`) })
    const pages = await me.context.newPage()
    await pages.goto('/pages')
    await pages.waitForSelector('#live-status[data-state="live"]')
    await pages.screenshot({ path: join(folder, `pages-${suffix}.png`) })
    await pages.goto('/')
    await pages.waitForSelector('#live-status[data-state="live"]')
    await pages.screenshot({ path: join(folder, `welcome-${suffix}.png`) })
    await pages.close()
    await server.kill()
    await editor.placeCaret('end')
    await editor.type('\nWritten in the dark.')
    await editor.becomes('offline', { seconds: 30 })
    await editor.page.waitForTimeout(300)
    await editor.page.screenshot({ path: join(folder, `offline-${suffix}.png`) })
    await server.start()
    await editor.saved({ seconds: 30 })
    // They say goodbye, or the next picture shows them as away.
    await Promise.all([editor, a, b].map((one) => one.page.goto('about:blank')))
    // The goodbye of a window dies with its browser.
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await Promise.all([me, anna, ben].map((person) => person.close()))
  }
}
await people.browser.close()
await server.stop()
console.log(`written to ${folder}`)
