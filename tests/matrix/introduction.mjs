// What docs/fault-matrix.md says around its tables.

/** @param {string} result @param {string} machine */
export const introduction = (result, machine) => `# The fault matrix

Made by \`node tests/matrix/run.mjs --long --write\`; do not edit it by hand. ${result}. (${machine}.)

Much stands between a browser and a wiki: virus scanners that keep a download until it is whole, company proxies,
gateways that end what is silent, hotel networks. Each row below is one way in which such a thing misbehaves, numbered
as in the catalogue that Halley was designed by. Behind it sit two people, one who writes and one who reads; a third
writes beside the server. The page's own modules run in Node against a real server, through a proxy that misbehaves
on demand (\`tests/support/fault_proxy.rs\`) or through a real one. Some of the rows are also played in a real browser
(\`tests/browser/ladder.test.mjs\`).

How to read a line:

- **first data**: from opening the page to the first word of the other that arrived. The other writes twice a second
  where nothing else is said.
- **rung**: how news came when the fault ended: *stream* (one response that goes on), *hold* (requests that the server
  answers when there is something), *poll* (asking at intervals), or that the page said *offline*.
- **reached**: how long it took until the page was first there, from opening it or, where the fault begins on a running
  stream, from its beginning; and the **bound** that the protocol sets (the ladder table in the module doc of \`live\`).
- **news**: how long a word of the other took to arrive on that rung, typed in bursts and singly.
- **back**: from the end of the fault to the stream. On a lower rung the way back is tried after a minute, then at
  doubling distances, and taken after a heartbeat: 95 s are within the protocol, and as much again as the next distance
  where this machine was too busy for a proof.
- **lost / twice / order**: events of the server's log, read by an independent connection, that did not reach the page,
  reached it twice, or in another order; for the writer also the words in the page, each of which must be there once
  and in order, on the server's disk.

A cell holds when all three are 0, the rung is the right one in time, every word came in time, and the page was back on
the stream in time. A network that is away altogether must never be taken for a bad one: the page says *offline*,
demotes nothing and comes back.

Beside the matrix there is a soak (\`node tests/matrix/soak.mjs --long\`): networks, rungs, tabs and the server change at
random, by a seed, while everybody types. Seed 2027: 104,560 events delivered to 48 × 3 pages, 20,555 updates, 24,831
words, 780 faults of networks, 386 choices of a rung, 242 reloads, 11 ends
of the server of which 5 were kills: 0 lost, 0 twice, 0 out of order.
Seed 2026, on a quiet machine: 116,808 events, 24,164 updates, 25,246 words: 0 lost, 0 twice, 0 out of order.

## Networks that misbehave
`

export const proxiesIntroduction = `
## Real proxies

nginx 1.22, HAProxy 2.6, Squid 5.7, Apache 2.4 and Caddy 2.6 of Debian 12, with the configurations in \`tests/support\`.
`
