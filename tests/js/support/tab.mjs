// One browser tab without a browser: the live connection over a fake server,
// what it delivered, and every status it showed.

import { createLive } from "../../../static/js/sync/live.js";
import { FakeClock, seeded } from "./clock.mjs";
import { FakeServer } from "./server.mjs";
import { createThread } from "./thread.mjs";

export function store() {
  const map = new Map();
  return { getItem: (k) => map.get(k) ?? null, setItem: (k, v) => void map.set(k, String(v)), removeItem: (k) => void map.delete(k), map };
}

class Target {
  constructor() {
    this.listeners = new Map();
  }
  addEventListener(name, fn) {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), fn]);
  }
  removeEventListener(name, fn) {
    this.listeners.set(name, (this.listeners.get(name) ?? []).filter((other) => other !== fn));
  }
  fire(name, event = {}) {
    for (const fn of this.listeners.get(name) ?? []) fn(event);
  }
}

export function fakeWindow(search = "") {
  const env = new Target();
  env.document = new Target();
  env.document.visibilityState = "visible";
  env.location = { search };
  env.localStorage = store();
  env.sessionStorage = store();
  env.beacons = [];
  env.navigator = { sendBeacon: (url, body) => (env.beacons.push({ url, body }), true) };
  return env;
}

export function openTab({ fault = {}, clock = new FakeClock(), server = null, env = fakeWindow(), seed = 7, here = true, maxAgeS, ...options } = {}) {
  server ??= new FakeServer(clock, { maxAgeS });
  Object.assign(server.fault, fault);
  const thread = createThread(clock, server.fetch);
  const live = createLive({
    topics: ["view:1", "here:1", "site"], cursor: server.head, client: "me", fetch: thread.fetch, clock: thread.clock, env, random: seeded(seed), ...options,
  });
  const tab = { live, server, clock, env, stall: thread.stall, got: [], statuses: [], resets: [], here: [] };
  live.on("event", (event) => tab.got.push(event.data));
  live.on("status", (status) => tab.statuses.push({ ...status, at: clock.now() }));
  live.on("reset", (reset) => void tab.resets.push(reset.cursor));
  live.on("here", (change) => tab.here.push([...change.entries.values()].map((entry) => entry.name)));
  if (here) live.beat({ page: 1, mode: "reading", caret: null });
  tab.says = () => `${live.status.state}/${live.status.rung}`;
  // Publishes n numbers, one each `ms`, and waits.
  tab.publish = async (n, ms) => {
    for (let i = 0; i < n; i += 1) {
      server.publish(server.log.length);
      await clock.advance(ms);
    }
  };
  live.start();
  return tab;
}
