// The catalogue of middleboxes (FACTS 6), as far as loopback can show it: what the network does, and what the page must
// make of it. Time bounds are sums of the ladder table (PROTOCOL, "The ladder"): hello within 4 s, a padded retry of
// 1.8 s, a probe at most 3 s after hello, the watchdog of 25 s and its beat of 3 s, three cuts within 2 min.

/**
 * @typedef {object} Row
 * @property {string} id what the table calls it
 * @property {number} number in the catalogue; 0: none
 * @property {string} does what the network does, in a sentence
 * @property {string} [seen] which products do that
 * @property {string} [fault] a mode of the fault proxy; absent: a real proxy that is as it is
 * @property {boolean} [running] the fault begins on streams that run
 * @property {string[]} [rungs] any of these is right
 * @property {string[]} [states] or any of these states, where the network is as good as away
 * @property {number} within seconds until that is reached, from opening the page or the beginning of the fault
 * @property {string} because whence that bound
 * @property {number} [news] seconds that a word may take on that rung; default 4, and 6 where it may be a poll: every 2 s in company, 5 s alone
 * @property {number} [pace] ms between words; default 500
 * @property {number} [lasts] seconds of the fault in the long form; default 40
 * @property {number} [quickLasts] and in the short form; default 20
 * @property {number} [backSlack] seconds more for the way back, with a reason beside it
 * @property {boolean} [each] a network for each of the two, where they would share a limit
 * @property {boolean} [prime] somebody else has asked before
 * @property {boolean} [untouched] the fault is one that must find nothing to do
 * @property {RegExp} [reason] what the page must have said
 * @property {RegExp} [expects] reports of the editor that belong to the fault
 * @property {(verdict: any) => string | null} [learns] what is wrong with what the page remembers
 * @property {Record<string, number>} [timing]
 * @property {boolean} [sways] traffic keeps the way back open now and then, so that the rung at the end may be another
 * @property {boolean} [again] when the fault is over, the person asks to save once more
 * @property {boolean} [short] also in the short form
 */

const MUTE = 'hello within 4 s, then hold'
const LUMPED = 'hello 4 s, probe 3 s, a padded retry beside it'
const CUTS = 'three ends, reconnecting within 0.5, 1 and 2 s'
const PLAIN = 'hello and probe'
const SILENT = 'watchdog 25 s, beat 3 s, and the time-out of a save 15 s'

/** @param {number} wait ms @param {number} slack */
const near = (wait, slack) => (/** @type {any} */ verdict) =>
  verdict && verdict.waitMs <= wait && verdict.waitMs >= wait - slack ? null : `learned ${JSON.stringify(verdict)} and not a wait of about ${wait} ms`

/** @type {Row[]} */
export const faults = [
  { id: 'none', number: 0, does: 'Nothing is wrong.', fault: 'off', rungs: ['stream'], within: 5, because: PLAIN, untouched: true, short: true },
  { id: 'mute', number: 1, does: 'The body of a stream is kept until it ends.', seen: 'Sophos, cloudflared quick tunnels, Teleport, ICAP scanners', fault: 'mute', rungs: ['hold'], within: 6, because: MUTE, short: true, reason: /holds streamed data back/ },
  { id: 'turns mute', number: 1, does: 'The same begins on a stream that runs.', fault: 'mute', running: true, rungs: ['hold'], within: 50, because: 'a beat every 20 s or the watchdog of 25 s, and once more', lasts: 60, quickLasts: 40 },
  { id: 'threshold 2 KiB', number: 2, does: 'Bytes pass in blocks of 2 KiB.', seen: 'nginx proxy buffers, gzip stages, GCP load balancers', fault: 'thresh 2048', rungs: ['hold', 'stream'], within: 9, because: LUMPED },
  { id: 'threshold 4 KiB', number: 2, does: 'Bytes pass in blocks of 4 KiB.', fault: 'thresh 4096', rungs: ['hold', 'stream'], within: 9, because: LUMPED, short: true },
  { id: 'threshold 64 KiB', number: 2, does: 'Bytes pass in blocks of 64 KiB, which padding does not fill.', fault: 'thresh 65536', rungs: ['hold'], within: 9, because: LUMPED },
  { id: 'one behind', number: 3, does: 'Each burst is kept until the next.', seen: 'Kaspersky, compressors that are not flushed', fault: 'behind', rungs: ['hold', 'stream'], within: 9, because: LUMPED, short: true },
  { id: 'tick 0.1 s', number: 4, does: 'What has gathered is flushed ten times a second.', seen: 'Go and Traefik flush intervals', fault: 'tick 0.1', rungs: ['stream'], within: 5, because: `${PLAIN}, 100 ms apart from when they were sent` },
  { id: 'tick 2 s', number: 4, does: 'What has gathered is flushed every 2 s.', seen: 'Azure front ends', fault: 'tick 2', rungs: ['hold'], within: 9, because: LUMPED, short: true },
  { id: 'tick 20 s', number: 4, does: 'What has gathered is flushed every 20 s.', seen: 'Avast', fault: 'tick 20', rungs: ['hold'], within: 6, because: MUTE },
  { id: 'idle 7 s', number: 5, does: 'A response that is silent for 7 s is broken off.', seen: 'HAProxy with short time-outs', fault: 'idle 7', sways: true, rungs: ['hold'], within: 100, because: 'three ends within 2 min; what happens meanwhile makes a stream live longer', pace: 20000, lasts: 60 },
  { id: 'idle 20 s', number: 5, does: 'A response that is silent for 20 s is broken off; heartbeats come every 15 s.', seen: 'nginx 60 s, ALB 60 s, Cloudflare 100 s, Heroku 55 s', fault: 'idle 20', rungs: ['stream'], within: 5, because: PLAIN, pace: 30000, lasts: 70, untouched: false },
  { id: 'mute, holds cut at 12 s', number: 5, does: 'Streams are mute and held requests end with 504 after 12 s of silence.', seen: 'gateways with a time-out below that of the held request', fault: 'mute stream, idle 12 hold', rungs: ['hold'], within: 6, because: MUTE, pace: 30000, lasts: 75, learns: near(12000 * 0.8 + 200, 500) },
  { id: 'cut 2 s', number: 6, does: 'Every response is ended at the age of 2 s, traffic or not.', fault: 'cut 2', rungs: ['hold', 'poll'], within: 20, news: 6, because: `${CUTS}, each after 2 s`, short: true },
  { id: 'cut 8 s', number: 6, does: 'Every response is ended at the age of 8 s, traffic or not.', seen: 'Netskope', fault: 'cut 8', rungs: ['hold'], within: 40, because: `${CUTS}, each after 8 s`, lasts: 60, quickLasts: 45, learns: near(8000 * 0.8 + 600, 1000) },
  { id: 'cut 29 s', number: 6, does: 'Every response is ended at the age of 29 s, traffic or not.', seen: 'GCP backends 30 s, API gateways 29 s', fault: 'cut 29', rungs: ['stream'], within: 5, because: `${PLAIN}; the age is learned and streams are replaced before it`, lasts: 100 },
  { id: 'age 16 s', number: 6, does: 'Every connection is ended at the age of 16 s, whatever it carries.', seen: 'HTTP/2 gateways', fault: 'age 16', rungs: ['hold', 'poll', 'stream'], within: 5, because: 'a stream at first, then three ends at up to 16 s', news: 6, lasts: 90 },
  { id: 'first byte in 3 s', number: 7, does: '504 for a response whose head has not come after 3 s.', seen: 'nginx and others while they read the head', fault: 'first 3', rungs: ['stream'], within: 5, because: 'hello is in the first write', short: true },
  { id: 'no streams, first byte in 3 s', number: 7, does: 'The same, and streams are refused.', fault: 'block stream, first 3', rungs: ['hold', 'poll'], within: 12, news: 6, because: 'three refusals, then held requests that are learned' },
  { id: 'only text/event-stream', number: 8, does: 'Only what is asked for, and answered, as exactly `text/event-stream` is not kept until its end.', seen: 'Kaspersky, ZAP', fault: 'typed', rungs: ['stream'], within: 5, because: 'Accept and the type are exactly that', short: true },
  { id: 'no streams', number: 8, does: 'Streams are answered with 403 and a page.', seen: 'data loss prevention', fault: 'block stream', rungs: ['hold'], within: 8, because: 'three refusals within 0.5, 1 and 2 s', reason: /refuses streams/ },
  { id: 'HTTP/1.0', number: 9, does: 'The server is asked in HTTP/1.0, and bodies end with the connection.', seen: 'nginx before 1.29, old Squid', fault: 'http10', rungs: ['stream'], within: 5, because: PLAIN, short: true },
  { id: 're-chunked by 7 bytes', number: 10, does: 'Chunks of 7 bytes, which cut lines and characters.', seen: 'gateways between HTTP versions', fault: 'chop 7', rungs: ['stream'], within: 5, because: PLAIN, short: true },
  { id: 'gzip without flush', number: 11, does: 'Everything is compressed and never flushed.', seen: 'tower-http, Starlette, Express, sidecars', fault: 'gzip', rungs: ['hold'], within: 8, because: MUTE, short: true },
  { id: 'cache', number: 12, does: 'The first answer to a path is everybody’s, whatever the query says.', seen: 'caches that collapse requests, URL aliasing', fault: 'replay', prime: true, rungs: ['poll'], within: 12, because: 'wrong nonce: a new path, then polling by POST', news: 6, short: true, learns: (verdict) => (verdict?.post ? null : `remembers ${JSON.stringify(verdict)} and not to POST`) },
  { id: 'two connections', number: 13, does: 'Two connections at a time; others wait.', seen: 'Squid client_ip_max_connections, browsers', fault: 'cap 2', each: true, rungs: ['stream'], within: 5, because: PLAIN, short: true },
  { id: 'a hole', number: 14, does: 'From one moment on nothing passes, and nobody is told.', seen: 'mobile networks, VPN, sleep', fault: 'hole 0', running: true, states: ['offline'], within: 45, because: SILENT, lasts: 55, quickLasts: 46, short: true, untouched: true },
  { id: 'holes', number: 14, does: 'Each connection turns into a hole at the age of 10 s.', seen: 'NAT tables that forget', fault: 'hole 10', running: true, within: 60, because: 'nothing is demanded but that nothing is lost', lasts: 90 },
  { id: 'reset 3 s', number: 15, does: 'Connections are reset when a response is 3 s old.', seen: 'Netskope, QUIC gateways', fault: 'rst 3', rungs: ['hold', 'poll'], within: 25, news: 6, because: `${CUTS}, each after 3 s`, short: true },
  ...[200, 302, 511].map((status) => ({
    id: `sign-in page ${status}`, number: 16, does: `A page of the network answers everything with ${status}.`, seen: 'hotels', fault: `portal ${status}`, running: true,
    states: ['offline'], within: 45, because: SILENT, reason: /sign in/, lasts: 50, quickLasts: 30, short: status !== 511,
  })),
  { id: 'proxy password 407', number: 16, does: 'A proxy on the way wants a password.', seen: 'company proxies with an expired login', fault: 'portal 407', running: true, states: ['offline'], within: 45, because: SILENT, lasts: 50 },
  { id: 'nobody listens', number: 0, does: 'Connections are reset and refused, as when a server restarts.', fault: 'refuse', running: true, states: ['offline', 'connecting'], within: 10, because: 'the end is heard at once', lasts: 40, quickLasts: 15, short: true, untouched: true },
  { id: 'headers stripped', number: 17, does: 'Accept, Last-Event-ID, If-None-Match and hints against buffering are taken out.', seen: 'WAFs, antivirus', fault: 'strip hints all', rungs: ['stream'], within: 5, because: 'the cursor is in the query' },
  { id: 'cookies stripped', number: 17, does: 'Cookies are taken out both ways: every request is a stranger’s.', seen: 'privacy filters', fault: 'strip cookies all', running: true, rungs: ['stream'], within: 5, because: 'a stream needs no cookie; saves are refused, and kept', expects: /reported|offered/, again: true },
  { id: 'POST blocked', number: 17, does: 'Whatever is not a GET is answered with 403 and a page.', seen: 'WAFs', fault: 'block post', running: true, rungs: ['stream'], within: 5, because: 'a stream is a GET', backSlack: 40, short: true },
  { id: 'streams become 204', number: 18, does: 'Streams are answered with 204.', seen: 'WAF error pages', fault: 'status 204 stream', rungs: ['hold'], within: 8, because: 'three refusals within 0.5, 1 and 2 s' },
  { id: 'streams become 502', number: 18, does: 'Streams are answered with 502 and a page.', seen: 'ISP error pages', fault: 'status 502 stream', rungs: ['hold'], within: 8, because: 'three refusals within 0.5, 1 and 2 s' },
  { id: 'all live answers become 503', number: 18, does: 'Streams, held requests and polls are answered with 503 and a page.', fault: 'status 503', running: true, rungs: ['stream'], within: 5, because: 'streams that run go on', sways: true },
  { id: 'saves become 502', number: 18, does: 'The server acts on each POST, and its answer is replaced by 502 and a page.', seen: 'gateways that give up on a slow answer', fault: 'status 502 post', running: true, rungs: ['stream'], within: 5, because: 'a stream is a GET', backSlack: 40, short: true },
  { id: 'everything twice', number: 19, does: 'A scanner asks for the same, with the same body, a moment earlier.', seen: 'antivirus web shields', fault: 'twice all', rungs: ['stream'], within: 6, because: PLAIN, short: true },
  { id: '4 KB/s', number: 21, does: 'Every response has 4,000 bytes a second, in pieces of 64.', seen: 'congested radio', fault: 'slow 4000', rungs: ['stream', 'hold'], within: 9, because: LUMPED, pace: 2500, news: 6 },
  { id: 'list of trackers', number: 22, does: 'Addresses as on lists of trackers are blocked.', seen: 'ad blockers', fault: 'block listed', rungs: ['stream'], within: 5, because: 'no address of ours is on them', untouched: true },
  { id: 'live address blocked', number: 22, does: 'Everything under /_live/events is answered with 403 and a page, also polls.', fault: 'block live', running: true, within: 45, because: 'nothing is demanded but that nothing is lost', backSlack: 40 },
  { id: 'no streams, no holds', number: 23, does: 'Streams and held requests are answered with 403 and a page; polls pass.', seen: 'what made Meteor and engine.io fall back', fault: 'block stream, block hold', rungs: ['poll'], within: 16, news: 6, because: 'three refusals, then two of held requests', short: true },
  { id: 'streams and holds reset', number: 23, does: 'Streams and held requests are reset at once; polls pass.', fault: 'rst 0.01 stream, rst 0.01 hold', rungs: ['poll'], within: 16, news: 6, because: 'three ends, then two of held requests' },
]

/** Rows of the catalogue that are not here, and why. */
export const absent = [
  { number: 20, does: 'TLS interception that turns HTTP/2 into HTTP/1.1', why: 'needs a second authority in a browser; the caps it touches are tests of the door' },
]
