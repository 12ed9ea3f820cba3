// Entry of the playback: a page's whole life under a slider.

import { createColoured } from "./history/coloured.js";
import { avatar, createLegend } from "./history/legend.js";
import { attachLife, byId, loadLife } from "./history/life.js";
import { createPlayer } from "./history/player.js";
import { createFollower } from "./history/source.js";
import { changeWords, exactTime, placeWords } from "./history/words.js";
import { el, setText } from "./lib/dom.js";
import { part } from "./lib/part.js";
import { notice } from "./ui/notice.js";
import { relativeTime } from "./ui/words.js";

/** @typedef {import("./history/timeline.js").Timeline} Timeline */

/** Browsers refuse to be told a new address more often than about three times a second. */
const ADDRESS_MS = 400;
/** What somebody has come to is read out once they stay there, in ms. */
const SETTLED_MS = 700;
/** Shares need not be counted for every frame of a playback, in ms. */
const LEGEND_MS = 400;
/** Whoever asked for less motion gets no more pictures a second than two, in ms. */
const CALM_MS = 500;

/** Calls at most once in `ms`, and always for the last time that it was asked to; `flush` does not wait for it. @param {() => void} run @param {number} ms */
function seldom(run, ms) {
  /** @type {ReturnType<typeof setTimeout> | null} */
  let timer = null;
  let last = -Infinity;
  const go = () => {
    timer = null;
    last = performance.now();
    run();
  };
  const ask = () => {
    const wait = last + ms - performance.now();
    if (wait <= 0 && timer === null) go();
    else timer ??= setTimeout(go, Math.max(0, wait));
  };
  const flush = () => {
    if (timer === null) return;
    clearTimeout(timer);
    go();
  };
  return Object.assign(ask, { flush });
}

/** @param {import("./history/life.js").Life} life */
function play(life) {
  const { source, page, url, nonce, wanted } = life;
  let timeline = /** @type {Timeline} */ (source.timeline);
  const slider = byId("life-at", HTMLInputElement);
  const playButton = byId("life-play", HTMLButtonElement);
  const followButton = byId("life-follow", HTMLButtonElement);
  const named = byId("life-named", HTMLSelectElement);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const text = createColoured(byId("life-text"), { label: "The page at this edit, with its authors’ colours", nonce });
  const legend = createLegend(byId("life-authors"), () => draw(null));
  /** Shows the newest, and what comes. */
  let following = wanted === null;
  /** @type {import("./history/timeline.js").Change | null} */
  let change = null;
  /** @type {import("./history/timeline.js").Moment} */
  let moment = timeline.seek(timeline.head);

  const player = createPlayer(timeline, {
    onShow: (rev) => show(rev),
    onState(playing) {
      document.body.classList.toggle("playing", playing);
      playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
      playButton.title = playing ? "Pause (space)" : "Play (space)";
      if (playing) follow(false);
      else {
        describe();
        if (player.rev === timeline.head) follow(true);
        say();
      }
    },
    leastMs: () => (calm.matches ? CALM_MS : 0),
  });

  /** @param {boolean} yes */
  function follow(yes) {
    following = yes;
    followButton.setAttribute("aria-pressed", String(yes));
    remember();
    linkLater();
  }

  /** @param {number | null} reveal */
  function draw(reveal) {
    text.show(moment, { change, only: legend.only, reveal });
  }

  const count = seldom(() => legend.show(moment), LEGEND_MS);

  const remember = seldom(() => {
    const address = new URL(location.href);
    if (following) address.searchParams.delete("at");
    else address.searchParams.set("at", String(player.rev));
    if (address.href !== location.href) history.replaceState(history.state, "", address);
  }, ADDRESS_MS);

  const voice = byId("life-voice");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let saying;
  /** Reads out where somebody stays; never while it plays. */
  function say() {
    clearTimeout(saying);
    if (player.playing) return;
    saying = setTimeout(() => {
      if (!player.playing && document.activeElement !== slider) setText(voice, sentence());
    }, SETTLED_MS);
  }

  /** What the shown edit did. */
  function did() {
    return change ? changeWords(change, moment.text) : "";
  }

  function sentence() {
    const { rev } = player;
    if (rev === 0) return "Before the first edit.";
    return `${timeline.author(rev).name} ${did()}, ${exactTime(timeline.at[rev])}, edit ${rev} of ${timeline.head}.`;
  }

  /** What only those need who look at it while it stands still: a slider that speaks without end is no help. */
  function describe() {
    slider.setAttribute("aria-valuetext", placeWords(timeline, player.rev, did()));
  }

  const now = byId("life-now");
  function tell() {
    const { rev } = player;
    if (rev === 0) {
      now.replaceChildren("Before the first edit");
      return;
    }
    const who = timeline.author(rev);
    const at = timeline.at[rev];
    const iso = Number.isFinite(at) && Math.abs(at) < 8.64e15 ? new Date(at).toISOString() : "";
    const name = timeline.named.find((one) => one.rev === rev);
    now.replaceChildren(
      avatar(who),
      el("span", { class: "life-what" }, el("b", {}, who.name), ` ${did()}`),
      el("span", { class: "life-when" },
        el("time", { datetime: iso, title: relativeTime(at, Date.now()) }, exactTime(at)),
        ` · edit ${rev.toLocaleString()} of ${timeline.head.toLocaleString()}`,
        ...(name ? [" · ", el("b", {}, name.name)] : [])),
    );
  }

  function links() {
    const { rev } = player;
    const read = byId("life-read", HTMLAnchorElement);
    const diff = byId("life-diff", HTMLAnchorElement);
    read.hidden = rev === 0;
    diff.hidden = rev >= timeline.head;
    read.href = `/wiki/${url}?rev=${rev}`;
    diff.href = `/diff/${url}?from=${rev}&to=${timeline.head}`;
    byId("life-blame", HTMLAnchorElement).href = `/blame/${url}${following ? "" : `?at=${rev}`}`;
  }
  const linkLater = seldom(links, LEGEND_MS);

  /** Whoever leaves goes from where they are, and comes back there. */
  function catchUp() {
    linkLater.flush();
    remember.flush();
  }
  for (const type of ["pointerdown", "focusin", "click"]) {
    document.addEventListener(type, ({ target }) => {
      if (target instanceof Element && target.closest("a")) catchUp();
    }, true);
  }
  addEventListener("pagehide", catchUp);

  /** @param {number} rev @param {{ reveal?: boolean }} [how] */
  function show(rev, { reveal = true } = {}) {
    moment = timeline.seek(rev);
    change = rev > 0 ? timeline.changeAt(rev) : null;
    slider.value = String(rev);
    draw(reveal ? (change?.place ?? 0) : null);
    tell();
    count();
    linkLater();
    remember();
    if (!player.playing) describe();
  }

  /** Somebody goes somewhere. @param {number} rev */
  function go(rev) {
    player.seek(rev);
    if (player.rev !== timeline.head || player.playing) follow(false);
    say();
  }

  /** @param {number} by */
  function step(by) {
    player.pause();
    go(player.rev + by);
  }

  function toggle() {
    if (player.playing) player.pause();
    else player.play();
  }

  function toNow() {
    player.pause();
    go(timeline.head);
    follow(true);
  }

  // --- what is pressed ---

  playButton.addEventListener("click", toggle);
  byId("life-back").addEventListener("click", () => step(-1));
  byId("life-on").addEventListener("click", () => step(1));
  followButton.addEventListener("click", () => (following ? follow(false) : toNow()));
  // While it is drawn, a slider fires more often than the screen shows.
  let drawn = 0;
  slider.addEventListener("input", () => {
    cancelAnimationFrame(drawn);
    drawn = requestAnimationFrame(() => go(Number(slider.value)));
  });
  const speed = byId("life-speed", HTMLSelectElement);
  const skip = byId("life-skip", HTMLInputElement);
  // A reload keeps what a form was filled with.
  const settle = () => {
    player.setSpeed(Number(speed.value));
    player.setSkip(skip.checked);
  };
  speed.addEventListener("change", settle);
  skip.addEventListener("change", settle);
  named.addEventListener("change", () => {
    if (named.value !== "") {
      player.pause();
      go(Number(named.value));
    }
    named.value = "";
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = /** @type {Element} */ (event.target);
    const inSlider = target === slider;
    if (!inSlider && target.closest("input:not([type=checkbox]), select, textarea, .cm-panel, #live-menu")) return;
    const onControl = target.closest("button, a, input[type=checkbox], summary") !== null;
    // Up, down and the pages move the text, as they do everywhere.
    /** @type {Record<string, () => void>} */
    const keys = {
      ",": () => step(-1),
      ".": () => step(1),
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => step(-timeline.head),
      End: toNow,
    };
    if (!onControl) keys[" "] = toggle;
    const run = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
    if (!run || event.shiftKey) return;
    event.preventDefault();
    run();
  });

  // --- what stays the same, and what grows ---

  function marks() {
    slider.max = String(timeline.head);
    const box = byId("life-ticks");
    box.replaceChildren(
      ...timeline.named.map(({ rev, name }) => {
        const tick = el("span", { class: "life-tick", title: name });
        tick.style.setProperty("--at", String(timeline.head > 0 ? rev / timeline.head : 0));
        tick.addEventListener("click", () => {
          player.pause();
          go(rev);
        });
        return tick;
      }),
    );
    const first = named.options[0];
    named.replaceChildren(first, ...timeline.named.map(({ rev, name }) => el("option", { value: String(rev) }, `${name} (${exactTime(timeline.at[rev])})`)));
    byId("life-named-choice").hidden = timeline.named.length === 0;
  }

  /** @type {() => void} */
  let away = () => {};
  /** @param {Timeline} next */
  function grow(next) {
    if (next === timeline) return;
    const more = next.head - timeline.head;
    const stays = player.rev;
    timeline = next;
    player.grow(next);
    marks();
    // Never moved from where somebody looks, unless they asked for it.
    if (following && !player.playing) {
      if (stays === next.head) show(next.head, { reveal: false });
      else player.seek(next.head);
      away();
    } else {
      moment = next.seek(stays);
      tell();
      links();
      if (more > 0 && !player.playing) {
        away = notice(more === 1 ? "There is a newer edit." : `There are ${more.toLocaleString()} newer edits.`, { id: "newer", action: { label: "Show the newest", run: toNow } });
      }
    }
    describe();
  }

  marks();
  settle();
  const begin = wanted === null ? timeline.head : timeline.clamp(wanted);
  player.seek(begin);
  followButton.setAttribute("aria-pressed", String(following));
  show(begin, { reveal: wanted !== null });
  links();
  const follower = createFollower(source, grow);
  life.onNews(() => follower.news());
  // For tests: how long a seek takes is measured where it happens.
  /** @type {any} */ (byId("life")).halley = { page, go, view: text.view, get rev() { return player.rev; } };
}

part("the playback", () => attachLife((life) => loadLife(life, play)));
