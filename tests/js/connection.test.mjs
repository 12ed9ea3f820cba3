// What is made of a measured connection: never more than it proves.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { clockOffset, nothingMeasured } from '../../static/js/connection/measured.js'
import { fnv1a } from '../../static/js/connection/reach.js'
import { breaksOff, classify, judge } from '../../static/js/connection/verdict.js'
import { letter, rows, sentence, span } from '../../static/js/connection/words.js'

const probe = { rttMs: 10, offsetMs: 0, encoding: null, aged: false, address: '192.0.2.1', trusted: false, proxies: [], via: null }
const sent = { ok: true, ms: 12, bytes: 4096, changed: false, failure: null }
const blank = { pad: false, ageMs: 17000, headMs: 5, helloMs: null, probeMs: null, nonceOk: true, frames: [], pieces: [], ended: null, failure: null, advice: null, encoding: null, stalled: false }

/** A stream whose signals came at these times. */
const heard = (helloMs, probeMs, more = {}) => ({
  ...blank,
  helloMs,
  probeMs,
  frames: [{ event: 'hello', ms: helloMs, t: 0 }, ...(probeMs === null ? [] : [{ event: 'probe', ms: probeMs, t: 700 }])],
  ...more,
})
const good = heard(10, 711)
const held = (waitMs, state, ageMs = waitMs) => ({ waitMs, startedMs: 0, state, ageMs, failure: null })
const passed = [held(5000, 'passed'), held(10000, 'passed'), held(25000, 'passed')]
const found = (more) => ({ ...nothingMeasured(1.7e12), done: true, probes: [probe, probe], post: sent, plain: good, padded: { ...good, pad: true }, holds: passed, ...more })
const cutAt = (ms, silentMs = ms - 711) => heard(10, 711, { ended: { ms, silentMs, bye: false } })

describe('one stream', () => {
  for (const [what, trial, expected] of [
    ['signals on time', good, 'proven'],
    ['a server that was late itself', heard(10, 1500, { frames: [{ event: 'hello', ms: 10, t: 0 }, { event: 'probe', ms: 1500, t: 1480 }] }), 'proven'],
    ['both in one piece', heard(2000, 2001), 'lumped'],
    ['both at nearly one time', heard(2000, 2100), 'lumped'],
    ['the second a second late', heard(10, 1800), 'late'],
    ['no second', heard(710, null), 'late'],
    ['no second yet', heard(710, null, { ageMs: 2000 }), 'waiting'],
    ['nothing', blank, 'mute'],
    ['nothing yet', { ...blank, ageMs: 3000 }, 'waiting'],
    ['an end before the first', { ...blank, ended: { ms: 100, silentMs: 90, bye: false } }, 'cut'],
    ['another number', { ...good, nonceOk: false }, 'cached'],
    ['a page', { ...blank, failure: { kind: 'type', status: 200 } }, 'blocked'],
    ['no connection', { ...blank, failure: { kind: 'network' } }, 'network'],
    ['too many', { ...blank, advice: 'this browser has as many' }, 'full'],
  ]) it(`${what}: ${expected}`, () => assert.equal(classify(trial), expected))
})

describe('the verdict', () => {
  const mute = { plain: { ...blank, ageMs: 26000 }, padded: { ...blank, pad: true } }
  for (const [what, measured, kind, rung, words] of [
    ['all is well', found({}), 'stream', 'stream', /^Your network lets live pages through\.$/],
    ['padding helps', found({ plain: heard(711, null) }), 'padded', 'stream', /fills them up/],
    ['padding helps where nothing came without', found({ ...mute, padded: { ...good, pad: true } }), 'threshold', 'hold', /until a few KB have gathered; Halley works by held requests instead, and by a stream that it fills up/],
    ['held back to the end', found(mute), 'mute', 'hold', /^Something between you and the wiki holds responses back until they end; Halley works by held requests instead\.$/],
    ['nothing long passes', found({ ...mute, holds: [held(5000, 'ended', 2000)] }), 'mute', 'poll', /every few seconds/],
    ['held requests are answered too early', found({ ...mute, holds: [held(5000, 'early', 20)] }), 'mute', 'poll', /every few seconds/],
    ['lumps', found({ plain: heard(2000, 2001), padded: heard(2000, 2001, { pad: true }) }), 'lumped', 'hold', /for about 2 s/],
    ['cut at an age', found({ plain: cutAt(8000), again: cutAt(8010), holds: [held(5000, 'passed'), held(10000, 'ended', 8000), held(25000, 'ended', 8000)] }), 'cut', 'hold', /every response off after about 8 s/],
    ['cut after a silence', found({ plain: cutAt(7710), again: cutAt(7715), holds: [held(5000, 'passed'), held(10000, 'ended', 7000)] }), 'idle', 'hold', /after about 7 s of silence/],
    ['cut too early for holding', found({ plain: cutAt(3000), again: cutAt(3000), holds: [held(5000, 'ended', 3000)] }), 'cut', 'poll', /every few seconds/],
    ['cut once', found({ plain: cutAt(8000), again: good }), 'stream', 'stream', /lets live pages through/],
    ['cut at unlike ages', found({ plain: cutAt(3000), again: cutAt(14000) }), 'stream', 'stream', /lets live pages through/],
    ['ended in order', found({ plain: heard(10, 711, { ended: { ms: 900, silentMs: 100, bye: true } }) }), 'stream', 'stream', /lets live pages through/],
    ['refused', found({ plain: { ...blank, failure: { kind: 'status', status: 403 } }, padded: { ...blank, failure: { kind: 'status', status: 403 } } }), 'blocked', 'hold', /refuses streams/],
    ['a cache', found({ plain: { ...good, nonceOk: false } }), 'cached', 'poll', /old copies/],
    ['a cache before anything', found({ probes: [], failure: { kind: 'nonce' }, lost: 2, plain: null, padded: null, post: null, holds: [] }), 'cached', 'poll', /old copies/],
    ['a sign-in page', found({ probes: [], failure: { kind: 'type', status: 200 }, lost: 2, plain: null, padded: null, post: null, holds: [] }), 'portal', null, /sign in/],
    ['an error of the wiki', found({ probes: [], failure: { kind: 'status', status: 503 }, lost: 2, plain: null, padded: null, post: null, holds: [] }), 'error', null, /\(503\)/],
    ['nobody answers', found({ probes: [], failure: { kind: 'network' }, lost: 2, plain: null, padded: null, post: null, holds: [] }), 'offline', null, /nothing could be measured/],
    ['nobody answers any more', found({ ...mute, holds: [held(5000, 'lost', 3000)] }), 'offline', null, /Nothing is certain/],
    ['too many tabs', found({ plain: { ...blank, advice: 'full' }, padded: { ...blank, advice: 'full' } }), 'full', null, /Close other tabs/],
    ['sending fails', found({ post: { ...sent, ok: false, failure: { kind: 'status', status: 403 } } }), 'stream', 'stream', /Sending does not get through: you can read here, but not save\.$/],
  ]) {
    it(`${what}: ${kind}`, () => {
      const verdict = judge(measured)
      assert.deepEqual([verdict.kind, verdict.rung], [kind, rung])
      assert.match(sentence(measured), words)
    })
  }

  it('waits until there is proof', () => {
    const early = { ...found({}), done: false }
    for (const [what, more] of Object.entries({
      'nothing asked': { probes: [], plain: null, padded: null, holds: [], post: null },
      'one probe lost': { probes: [], lost: 1, failure: { kind: 'network' }, plain: null, padded: null },
      'no signal yet': { plain: { ...blank, ageMs: 1000 } },
      'mute, and held requests not known': { ...mute, holds: [{ ...held(5000, 'running'), ageMs: null }] },
      'mute, and the other stream not known': { ...mute, padded: { ...blank, pad: true, ageMs: 3000 } },
      'broken off once so far': { plain: cutAt(8000), again: null },
    })) assert.equal(judge({ ...early, ...more }).kind, 'wait', what)
    assert.equal(breaksOff({ ...early, plain: cutAt(8000) }), 'looking')
  })
})

describe('the words', () => {
  it('name spans as people do', () => {
    for (const [ms, words] of [[0.04, '0.0 ms'], [9.94, '9.9 ms'], [12.4, '12 ms'], [999, '999 ms'], [1000, '1 s'], [6400, '6.4 s'], [25010, '25 s'], [9970, '10 s']]) assert.equal(span(ms), words)
  })

  it('have each row once, and no row without a measurement', () => {
    const all = rows(found({}), { rung: 'stream', words: 'Live', reason: 'A stream is open.' })
    const ids = all.map((row) => row.id)
    assert.equal(new Set(ids).size, ids.length)
    for (const id of ['stream', 'held', 'hold', 'post', 'cache', 'coding', 'rtt', 'clock', 'proxy', 'now']) assert.ok(ids.includes(id), id)
    assert.deepEqual(rows(nothingMeasured(0), null), [])
  })

  it('tell the size of a buffer, also where two of it were read at once', () => {
    const padded = { ...good, pad: true, pieces: [{ ms: 1, bytes: 8192 }, { ms: 700, bytes: 4096 }] }
    const held = rows(found({ plain: { ...blank, ageMs: 26000 }, padded }), null).find((row) => row.id === 'held')
    assert.equal(held?.value, 'until about 4 KB have gathered')
  })

  it('tell the size of a buffer that was read in two pieces', () => {
    const padded = { ...good, pad: true, pieces: [{ ms: 1, bytes: 3300 }, { ms: 2, bytes: 796 }, { ms: 700, bytes: 4096 }, { ms: 760, bytes: 4096 }] }
    const held = rows(found({ plain: { ...blank, ageMs: 26000 }, padded }), null).find((row) => row.id === 'held')
    assert.equal(held?.value, 'until about 4 KB have gathered')
  })

  it('tell whose word about the client is not believed', () => {
    const { means } = rows(found({ probes: [{ ...probe, address: '127.0.0.1', proxies: ['X-Forwarded-For'] }] }), null).find((row) => row.id === 'proxy') ?? {}
    assert.match(means ?? '', /takes you for 127\.0\.0\.1: it needs the setting trusted_proxy/)
  })

  it('ask an administrator for what is needed, and for nothing else', () => {
    const mute = letter(found({ plain: { ...blank, ageMs: 26000 }, padded: blank }), 'https://wiki.test')
    assert.match(mute, /https:\/\/wiki\.test shows[\s\S]*holds responses back[\s\S]*no buffering/)
    assert.doesNotMatch(mute, /6 minutes|POST requests/)
    assert.match(letter(found({}), 'https://wiki.test'), /Nothing has to be changed/)
    assert.match(letter(found({ long: cutAt(40_000) }), 'https://wiki.test'), /lets live pages through[\s\S]*broken off after 40 s[\s\S]*live for at least 6 minutes/)
    assert.match(letter(found({ post: { ...sent, ok: false, changed: true } }), 'https://wiki.test'), /POST requests with bodies pass unchanged/)
  })
})

it('the clock is read by the quickest round trip, with its error', () => {
  const probes = [{ ...probe, rttMs: 80, offsetMs: 5000 }, { ...probe, rttMs: 4, offsetMs: 1200 }, { ...probe, rttMs: 9, offsetMs: 1300 }]
  assert.deepEqual(clockOffset(probes), { offsetMs: 1200, errorMs: 3 })
  assert.equal(clockOffset([]), null)
})

it('the hash is that of the server', () => {
  assert.equal(fnv1a(''), '811c9dc5')
  assert.equal(fnv1a('foobar'), 'bf9cf968')
})

it('the recipes in the README are those that are tested and shown', () => {
  const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  const readme = read('README.md')
  for (const file of ['nginx.conf', 'Caddyfile', 'apache.conf', 'haproxy.cfg']) {
    const quoted = /^[^\n]*\n([^]*?)^```$/m.exec(readme.slice(readme.indexOf('```', readme.indexOf(`(docs/proxies/${file})`))))
    assert.equal(quoted?.[1], read(`docs/proxies/${file}`), `${file} is quoted whole`)
    assert.ok(readme.includes(`(docs/proxies/${file})`), `${file} is linked`)
  }
})
