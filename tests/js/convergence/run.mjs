// Convergence of real clients: the shipped session, outbox and live connection, several at once, against a server
// over HTTP and through a network that loses, doubles, delays, reorders and cuts. After quiet every text must be the
// same and that of the server, with every character that was typed and not deleted in it once.
//
//   RUNS=500 SEED=1 HALLEY_URL=http://127.0.0.1:8000 node tests/js/convergence/run.mjs
//
// Without HALLEY_URL it starts target/{release,debug}/halley on a free port and a temporary folder, and kills it now
// and then (what was called saved must be there afterwards); with
// HALLEY_URL=fake it runs against the server in fake-server.mjs, in this process.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createApi } from "../../../static/js/outbox/api.js";
import { MemoryStore } from "../../../static/js/outbox/store.js";
import { Session } from "../../../static/js/editor/session.js";
import { createLive } from "../../../static/js/sync/live.js";
import { FakeServer } from "./fake-server.mjs";
import { faulty, random, sleep } from "./faults.mjs";

const RUNS = Number(process.env.RUNS ?? 40);
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));
const PARALLEL = Number(process.env.PARALLEL ?? 4);
/** Longest wait for agreement once the network is whole again. */
const QUIET_MS = Number(process.env.QUIET_MS ?? 20_000);
const VERBOSE = process.env.VERBOSE === "1";

/** Fast enough for many runs; the relations between the values are those of the product. */
const LIVE_TIMING = {
  hello: 400,
  hedge: 150,
  hedgeEvery: 100,
  suspect: 1500,
  retryHello: 900,
  watchdog: 3000,
  beatTimeout: 500,
  ahead: 600,
  holdFirst: 1000,
  hold: 1000,
  holdSlack: 500,
  holdMin: 300,
  holdInstant: 10,
  pollCompany: 40,
  pollAlone: 60,
  pollIdle: 80,
  pollTimeout: 600,
  backoffBase: 10,
  backoffMax: 150,
  beat: 800,
  beatGap: 20,
  shadowFirst: 500,
  shadowMax: 2000,
};
const OUTBOX_TIMING = { gapMs: 2, patienceMs: 200, backoffMs: 8, backoffMaxMs: 80, refusedMs: 100 };
/** Rungs that clients choose from by the way; null is the ladder's own choice. */
const RUNGS = process.env.RUNGS?.split(",") ?? ["stream", "hold", "poll", null];
const PIECES = ["a", "word ", "\n", "😀", "👩‍👩‍👧", "é", "# ", "中文", "é", "\r\n", "x".repeat(300)];

/** One browser: its login and what it keeps, across reloads of its tab. */
class Browser {
  constructor(name, server, page, rng, net) {
    Object.assign(this, { name, page, rng, net, typed: 0, reloads: 0 });
    this.store = new MemoryStore();
    this.store.durable = true;
    this.store.close = () => {};
    this.server = server;
    this.logins = 0;
    this.logIn();
    this.fetch = faulty((...request) => this.plain(...request), rng, net);
    this.base = server.base;
    this.alive = new Set();
  }

  /** Its cookie is another one from now on. */
  logIn() {
    this.logins += 1;
    this.plain = this.server.fetchAs(`${this.name}${this.logins}`);
  }

  async open() {
    // As a page does, whose HTML carries the cursor of before its data was read.
    const head = await steady(() =>
      this.plain(
        `${this.base}/_live/events?mode=poll&topics=doc:${this.page}&client=aaaaaaaaaaaaaaaaaaaa&nonce=n`,
      ),
    );
    const cursor = (await head.json()).to;
    const id = () =>
      Array.from({ length: 20 }, () => "abcdefghijklmnopqrstuvwxyz234567"[this.rng.below(32)]).join("");
    const client = id();
    const held = new Set();
    const keeper = {
      hold: async (_page, yjs) => {
        if (this.alive.has(yjs) && !held.has(yjs)) return false;
        this.alive.add(yjs);
        held.add(yjs);
        return true;
      },
      begin: (_page, yjs) => (this.alive.add(yjs), held.add(yjs)),
      release: (_page, yjs) => (this.alive.delete(yjs), held.delete(yjs)),
      close: () => held.forEach((yjs) => this.alive.delete(yjs)),
    };
    this.live = createLive({
      topics: [`doc:${this.page}`, `here:${this.page}`],
      cursor,
      client,
      forced: this.rng.pick(RUNGS),
      fetch: this.fetch,
      timing: LIVE_TIMING,
      random: this.rng.next,
      base: `${this.base}/_live`,
      env: null,
    });
    this.session = new Session({
      page: this.page,
      path: "test",
      client,
      api: createApi({ page: this.page, client, base: this.base, fetch: this.fetch, timeoutMs: 1500 }),
      store: this.store,
      keeper,
      newOp: id,
      timing: OUTBOX_TIMING,
      random: this.rng.next,
      adoptAgainMs: 50,
      piggyback: () => this.live.piggyback(),
      onBatch: (batch) => this.live.applyBatch(batch),
      onContact: (reached) => (reached ? this.live.heard() : this.live.failed()),
    });
    const { live, session } = this;
    live.on("event", (event) => {
      if (event.topic === `doc:${this.page}`) session.event(event);
    });
    live.on("reset", () => session.resync());
    live.on("status", () => session.retryNow());
    const report = session.report.bind(session);
    session.report = (kind, detail) => {
      this.problems.push(`reported ${kind}: ${detail}`);
      return report(kind, detail);
    };
    session.on("aside", ({ why }) => this.problems.push(`offered as a copy: ${why}`));
    live.start();
    const started = session.start();
    // Without the server and without a copy there is no document yet; the tab waits for it.
    await Promise.race([started, sleep(this.net.offline ? 100 : 20_000)]);
  }

  /** The tab goes away in the middle of whatever it does, and comes back. */
  async reload() {
    this.reloads += 1;
    this.live.stop();
    this.session.stop();
    await this.open();
  }

  close() {
    this.live.stop();
    this.session.stop();
  }

  /** More text at once than the server takes in one update. */
  paste() {
    this.session.text?.insert(0, `<${this.name}${(this.typed += 1)}>${"pasted 😀 ".repeat(30_000)}`);
  }

  /** Something a person may do: type, delete, replace, edit several places at once. */
  edit() {
    const { rng } = this;
    const text = this.session.text;
    if (!text) return;
    this.session.doc.transact(() => {
      for (let n = rng.chance(0.15) ? 3 : 1; n > 0; n -= 1) {
        const at = border(text.toString(), rng.below(text.length + 1));
        if (text.length > 0 && rng.chance(0.3)) {
          const end = border(text.toString(), Math.min(text.length, at + 1 + rng.below(12)));
          if (end > at) text.delete(at, end - at);
        }
        if (rng.chance(0.85)) {
          const mark = `<${this.name}${(this.typed += 1)}>`;
          text.insert(Math.min(at, text.length), rng.pick(PIECES) + (rng.chance(0.5) ? mark : ""));
        }
      }
    }, "person");
  }
}

/**
 * Asks again while the server is being started again.
 * @template T
 * @param {() => Promise<T>} ask
 * @returns {Promise<T>}
 */
async function steady(ask) {
  for (let left = 400; ; left -= 1) {
    try {
      return await ask();
    } catch (error) {
      if (left === 0) throw error;
      await sleep(25);
    }
  }
}

/** The nearest position that splits no surrogate pair. */
function border(text, at) {
  const before = text.charCodeAt(at - 1);
  return at > 0 && before >= 0xd800 && before <= 0xdbff ? at + 1 : at;
}

/** One run. Resolves with what went wrong, null when nothing did. */
async function run(seed, makeServer) {
  const rng = random(seed);
  const server = await makeServer(seed);
  const problems = [];
  const counts = {};
  const count = 3 + rng.below(3);
  const browsers = [];
  for (let i = 0; i < count; i += 1) {
    const net = {
      rate: rng.pick([0, 0.1, 0.3, 0.5]),
      offline: false,
      maxDelayMs: rng.pick([2, 10, 40]),
      counts,
    };
    const browser = new Browser("abcde"[i], server, server.page, random(seed * 31 + i), net);
    browser.problems = problems;
    browsers.push(browser);
  }
  try {
    await Promise.all(browsers.map((browser) => browser.open()));
    const steps = 15 + rng.below(40);
    // One run in eight pastes more than fits into one update.
    const pasteAt = rng.chance(0.125) ? rng.below(steps) : -1;
    for (let step = 0; step < steps; step += 1) {
      const browser = rng.pick(browsers);
      const dice = rng.next();
      if (step === pasteAt) browser.paste();
      else if (dice < 0.8) browser.edit();
      else if (dice < 0.86) browser.live.choose(rng.pick(RUNGS));
      else if (dice < 0.9) browser.net.offline = !browser.net.offline;
      else if (dice < 0.93) {
        browser.net.offline = false;
        await browser.reload();
      } else if (dice < 0.95) {
        browser.net.offline = true;
        await browser.reload();
      } else if (dice < 0.96) browser.logIn();
      else if (dice < 0.97) await server.disturb?.(rng);
      else browser.net.rate = rng.pick([0, 0.2, 0.6]);
      await sleep(rng.pick([0, 0, 1, 5, 15]));
    }
    for (const browser of browsers) {
      browser.net.offline = false;
      browser.net.rate = 0;
      browser.session.retryNow();
    }
    const deadline = Date.now() + QUIET_MS;
    for (;;) {
      const texts = browsers.map((browser) => browser.session.text?.toString());
      const quiet = browsers.every(
        (browser) => browser.session.outbox.unsaved === 0 && browser.session.genuine,
      );
      const raw = quiet ? await server.raw() : null;
      if (quiet && texts.every((text) => text === raw)) {
        for (const mark of raw.match(/<[a-e]\d+>/g) ?? []) {
          if (raw.indexOf(mark) !== raw.lastIndexOf(mark)) problems.push(`${mark} is in the text twice`);
        }
        break;
      }
      if (Date.now() > deadline) {
        problems.push(
          `no agreement: ${browsers
            .map(
              (b, i) =>
                `${b.name} ${texts[i]?.length} rev ${b.session.rev} unsaved ${b.session.outbox.unsaved} ${JSON.stringify(b.session.status)} live ${b.live.status.state}/${b.live.status.rung}`,
            )
            .join("; ")}; server ${raw?.length}`,
        );
        if (VERBOSE) console.log(texts, raw);
        break;
      }
      await sleep(10);
    }
    problems.push(...(server.problems?.() ?? []));
  } finally {
    for (const browser of browsers) browser.close();
    await server.close?.();
  }
  const reloads = browsers.reduce((sum, browser) => sum + browser.reloads, 0);
  const logins = browsers.reduce((sum, browser) => sum + browser.logins - 1, 0);
  return {
    problems,
    counts,
    reloads,
    logins,
    edits: browsers.reduce((sum, browser) => sum + browser.typed, 0),
  };
}

/** @param {number} seed */
async function fakeServer(seed) {
  const fake = new FakeServer({ page: seed, text: "start\n" });
  return {
    page: seed,
    base: "",
    fetchAs: (user) => fake.fetchAs(user),
    raw: async () => fake.text,
    disturb: () => fake.restart(),
    problems: () => fake.reports.map((report) => `reported: ${report.kind} ${report.detail}`),
  };
}

/** @param {string} url */
function realServer(url, crash) {
  const origin = new URL(url).origin;
  return async (seed) => {
    const path = `convergence/run ${seed} ${process.pid}`.split("/").map(encodeURIComponent).join("/");
    const made = await steady(() =>
      fetch(`${origin}/api/v1/pages/${path}`, {
        method: "PUT",
        headers: { "content-type": "text/markdown", "if-none-match": "*" },
        body: "start\n",
      }),
    );
    // A kill may have swallowed the answer to the first try; nobody else has this path.
    const page = made.status === 412 ? await steady(() => fetch(`${origin}/api/v1/pages/${path}`)) : made;
    if (!page.ok) throw new Error(`the page could not be made: ${page.status} ${await page.text()}`);
    const { id } = await page.json();
    return {
      page: id,
      base: origin,
      fetchAs: () => withCookies(origin),
      raw: () => steady(async () => (await fetch(`${origin}/raw/${path}`)).text()),
      disturb: crash,
    };
  };
}

/** A browser's cookies, and the headers by which a browser says where a request comes from. */
function withCookies(origin) {
  const jar = new Map();
  let first = null;
  const send = async (input, init = {}) => {
    const headers = new Headers(init.headers);
    if (jar.size > 0) headers.set("cookie", [...jar].map(([name, value]) => `${name}=${value}`).join("; "));
    headers.set("origin", origin);
    headers.set("sec-fetch-site", "same-origin");
    const { keepalive: _keepalive, ...rest } = init;
    const response = await fetch(input, { ...rest, headers });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (name) jar.set(name.trim(), value);
    }
    return response;
  };
  // One login per browser: the first request must have its cookie before others start.
  return async (input, init) => {
    if (jar.size === 0) {
      first ??= steady(() => send(`${origin}/`).then((response) => response.arrayBuffer()));
      await first;
    }
    return send(input, init);
  };
}

/** Starts the server that was built here. */
async function startServer() {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const binary = [join(target, "release", "halley"), join(target, "debug", "halley")].find((path) =>
    existsSync(path),
  );
  if (!binary) throw new Error("no halley binary: build it, or set HALLEY_URL");
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(free));
    });
  });
  const data = mkdtempSync(join(tmpdir(), "halley-convergence-"));
  /** @type {import('node:child_process').ChildProcess} */
  let child;
  const start = () =>
    new Promise((resolve, reject) => {
      child = spawn(binary, ["serve", "--port", String(port), "--data", data], {
        // Every HALLEY_ variable is a setting of the server, also those that tests set for themselves.
        env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("HALLEY_"))),
        stdio: ["ignore", "pipe", "ignore"],
      });
      let seen = "";
      child.stdout?.on("data", (chunk) => {
        seen += chunk;
        const found = /listening on (http:\/\/\S+)/.exec(seen);
        if (found) resolve(found[1]);
      });
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
  const end = async (/** @type {NodeJS.Signals} */ signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  };
  const stop = async () => {
    await end("SIGTERM");
    rmSync(data, { recursive: true, force: true });
  };
  let crashes = 0;
  /** @type {Promise<unknown> | null} */
  let crashing = null;
  /** Kills it in the middle of everything and starts it again. */
  const crash = () => {
    crashing ??= end("SIGKILL")
      .then(start)
      .then(() => (crashes += 1))
      .finally(() => (crashing = null));
    return crashing;
  };
  const url = await start();
  return {
    url,
    stop,
    crash,
    get crashes() {
      return crashes;
    },
  };
}

const given = process.env.HALLEY_URL;
const own = given ? null : await startServer();
const makeServer = given === "fake" ? fakeServer : realServer(given ?? own.url, own?.crash);
const totals = { failed: 0, edits: 0, reloads: 0, logins: 0, counts: {} };
const started = Date.now();
let next = 0;
await Promise.all(
  Array.from({ length: Math.min(PARALLEL, RUNS) }, async () => {
    while (next < RUNS) {
      const seed = SEED + next;
      next += 1;
      let outcome;
      try {
        outcome = await run(seed, makeServer);
      } catch (error) {
        outcome = { problems: [String(error?.stack ?? error)], counts: {}, reloads: 0, edits: 0 };
      }
      totals.edits += outcome.edits;
      totals.reloads += outcome.reloads;
      totals.logins += outcome.logins ?? 0;
      for (const [name, n] of Object.entries(outcome.counts))
        totals.counts[name] = (totals.counts[name] ?? 0) + n;
      if (outcome.problems.length > 0) {
        totals.failed += 1;
        console.log(`seed ${seed}: ${outcome.problems.join("\n  ")}`);
      }
    }
  }),
);
await own?.stop();
const faults = Object.entries(totals.counts)
  .map(([name, n]) => `${n} ${name}`)
  .join(", ");
console.log(
  `convergence: ${RUNS} runs from seed ${SEED}, ${totals.failed} with differences; ${totals.edits} edits, ` +
    `${totals.reloads} reloads, ${totals.logins} changed logins, ${own ? `${own.crashes} kills of the server, ` : ""}${faults || "no faults"}; ${((Date.now() - started) / 1000).toFixed(1)} s`,
);
process.exit(totals.failed === 0 ? 0 : 1);
