// A browser without a browser: tabs of one profile, with Web Locks, BroadcastChannel
// and SharedWorker, over a fake server and a clock that tests move. Tabs can be
// closed, killed and frozen; what a dead tab held is let go as a browser does it.

import { createLive } from "../../../static/js/sync/live.js";
import { createHub } from "../../../static/js/sync/share/hub.js";
import { fakeWindow } from "./tab.mjs";

const LATENCY = 2;

// Everything of one process that can die or stand still: its timers, requests and messages.
class Process {
  constructor(browser) {
    this.browser = browser;
    this.dead = false;
    this.frozen = false;
    this.waiting = [];
    this.aborts = new Set();
    this.locks = new Set();
    const { clock } = browser;
    const timers = new Map();
    let ids = 0;
    this.clock = {
      now: clock.now,
      setTimeout: (fn, ms) => {
        const id = (ids += 1);
        timers.set(id, clock.setTimeout(() => this.run(() => timers.delete(id) && fn()), ms));
        return id;
      },
      clearTimeout: (id) => {
        clock.clearTimeout(timers.get(id));
        timers.delete(id);
      },
    };
    this.fetch = async (url, init = {}) => {
      const abort = new AbortController();
      init.signal?.addEventListener("abort", () => abort.abort());
      if (init.signal?.aborted) abort.abort();
      this.aborts.add(abort);
      const response = await browser.server.fetch(url, { ...init, signal: abort.signal });
      if (this.dead) await new Promise(() => {});
      return response;
    };
  }
  // Runs now, or when it goes on, or never.
  run(fn) {
    if (this.dead) return;
    if (this.frozen) this.waiting.push(fn);
    else fn();
  }
  later(fn) {
    this.browser.clock.setTimeout(() => this.run(fn), LATENCY + Math.floor(this.browser.random() * 3));
  }
  kill() {
    this.dead = true;
    for (const abort of this.aborts) abort.abort();
    for (const lock of [...this.locks]) this.browser.drop(lock);
  }
  thaw() {
    this.frozen = false;
    for (const fn of this.waiting.splice(0)) this.run(fn);
  }
}

// Messages arrive in order, later, as copies.
function pipe(to, deliver) {
  let last = -Infinity;
  return (message) => {
    const copy = structuredClone(message);
    const { clock, random } = to.browser;
    last = Math.max(last, clock.now() + LATENCY + Math.floor(random() * 3));
    clock.setTimeout(() => to.run(() => deliver(copy)), last - clock.now());
  };
}

export class FakeBrowser {
  constructor({ clock, server, random, mode = "worker" }) {
    Object.assign(this, { clock, server, random, mode });
    this.queues = new Map();
    this.channels = new Set();
    this.worker = null;
    this.hubs = 0;
  }

  lockManager(process) {
    const queueOf = (name) => {
      if (!this.queues.has(name)) this.queues.set(name, []);
      return this.queues.get(name);
    };
    const grant = (name) => {
      const queue = queueOf(name);
      const [first] = queue;
      if (!first || first.held) return;
      first.held = true;
      process.browser.clock.setTimeout(() => {
        if (!queue.includes(first)) return;
        first.process.run(() => {
          Promise.resolve(first.callback({ name })).then(() => {
            this.drop(first);
            first.done();
          }, first.fail);
        });
      }, 1);
    };
    this.grant = grant;
    return {
      request: (name, ...rest) => {
        const callback = rest.pop();
        const { signal, steal } = rest[0] ?? {};
        return new Promise((done, fail) => {
          const lock = { name, callback, process, held: false, done, fail };
          if (signal?.aborted) return fail(new DOMException("aborted", "AbortError"));
          signal?.addEventListener("abort", () => {
            if (lock.held) return;
            this.drop(lock);
            fail(new DOMException("aborted", "AbortError"));
          });
          process.locks.add(lock);
          const queue = queueOf(name);
          if (steal) {
            const [first] = queue;
            if (first?.held) {
              queue.shift();
              first.process.locks.delete(first);
              first.process.run(() => first.fail(new DOMException("stolen", "AbortError")));
            }
            queue.unshift(lock);
          } else queue.push(lock);
          grant(name);
        });
      },
    };
  }

  drop(lock) {
    lock.process.locks.delete(lock);
    const queue = this.queues.get(lock.name) ?? [];
    const at = queue.indexOf(lock);
    if (at >= 0) queue.splice(at, 1);
    this.grant?.(lock.name);
  }

  channelClass(process) {
    const { channels } = this;
    return class {
      constructor(name) {
        this.name = name;
        this.process = process;
        this.onmessage = null;
        this.receive = pipe(process, (data) => channels.has(this) && this.onmessage?.({ data }));
        channels.add(this);
      }
      postMessage(message) {
        if (process.dead || !channels.has(this)) return;
        for (const other of channels) if (other !== this && other.name === this.name && !other.process.dead) other.receive(message);
      }
      close() {
        channels.delete(this);
      }
    };
  }

  workerClass(tab) {
    const browser = this;
    return class {
      constructor() {
        const worker = browser.startWorker();
        const port = { onmessage: null, open: true };
        const down = pipe(tab, (data) => port.open && port.onmessage?.({ data }));
        // `loses` is a way to test what must never happen: a message that does not arrive.
        const connection = worker.hub.connect((message) => browser.loses?.(tab, message) || down(message));
        const up = pipe(worker.process, (data) => connection.message(data));
        this.port = {
          postMessage: (message) => !tab.dead && port.open && up(message),
          close: () => void (port.open = false),
          set onmessage(fn) {
            port.onmessage = fn;
          },
        };
        worker.ports.push({ tab, connection });
      }
    };
  }

  startWorker() {
    if (this.worker && !this.worker.process.dead) return this.worker;
    const process = new Process(this);
    this.hubs += 1;
    const hub = createHub({ net: { fetch: process.fetch, clock: process.clock }, locks: this.mode === "bare" ? null : this.lockManager(process), alone: true, random: this.random });
    return (this.worker = { process, hub, ports: [] });
  }

  open({ topics = ["view:1", "site"], cursor = this.server.head, client, page = null, search = "" } = {}) {
    const process = new Process(this);
    const env = fakeWindow(search);
    env.navigator.locks = this.mode === "bare" ? undefined : this.lockManager(process);
    if (this.mode !== "none") env.BroadcastChannel = this.channelClass(process);
    if (this.mode === "worker" || this.mode === "bare") env.SharedWorker = this.workerClass(process);
    env.fetch = process.fetch;
    if (this.verdict) env.localStorage.setItem("halley.verdict", this.verdict);
    const live = createLive({ topics, cursor, client, fetch: process.fetch, clock: process.clock, env, random: this.random });
    const tab = { live, env, process, topics, from: cursor, got: [], resets: [], status: [], open: true };
    live.on("event", (event) => tab.got.push(event.data));
    live.on("reset", ({ cursor: to }) => void tab.resets.push(to));
    live.on("status", (status) => tab.status.push(`${status.state}/${status.rung}`));
    if (page !== null) live.beat({ page, mode: "reading", caret: null });
    live.start();
    tab.says = () => `${live.status.state}/${live.status.rung}`;
    tab.close = () => {
      tab.open = false;
      env.fire("pagehide", { persisted: false });
      // What was posted while the page went away still arrives.
      process.kill();
    };
    tab.kill = () => {
      tab.open = false;
      process.kill();
      // As Chromium tells the other end of a port.
      for (const port of this.worker?.ports ?? []) if (port.tab === process && this.mode === "bare") this.worker.process.later(() => port.connection.gone());
    };
    tab.show = (visible) => {
      env.document.visibilityState = visible ? "visible" : "hidden";
      env.document.fire("visibilitychange");
    };
    tab.freeze = () => void (process.frozen = true);
    tab.thaw = () => {
      process.thaw();
      env.document.fire("resume");
    };
    return tab;
  }
}
