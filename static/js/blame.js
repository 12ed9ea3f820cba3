// Entry of the authors of a page's source, exact to the character.

import { createColoured } from "./history/coloured.js";
import { avatar, createLegend } from "./history/legend.js";
import { attachLife, byId, loadLife } from "./history/life.js";
import { createFollower } from "./history/source.js";
import { exactTime } from "./history/words.js";
import { el } from "./lib/dom.js";
import { part } from "./lib/part.js";
import { notice } from "./ui/notice.js";
import { relativeTime } from "./ui/words.js";

/** @param {import("./history/life.js").Life} life */
function showAuthors({ source, url, nonce, wanted, onNews }) {
  let timeline = /** @type {import("./history/timeline.js").Timeline} */ (source.timeline);
  let moment = timeline.seek(wanted ?? timeline.head);
  const now = byId("life-now");
  const links = byId("life-links");
  const from = byId("life-play-from", HTMLAnchorElement);
  const diff = byId("life-diff", HTMLAnchorElement);
  let shown = 0;

  /** @param {number} index of a caret: the character after it, or the last one */
  function tell(index) {
    const rev = moment.born(Math.min(index, moment.text.length - 1));
    if (rev === 0 || rev === shown) return;
    shown = rev;
    const who = timeline.author(rev);
    const at = timeline.at[rev];
    now.replaceChildren(
      avatar(who),
      el("span", { class: "life-what" }, el("b", {}, who.name), `, ${relativeTime(at, Date.now())}`),
      el("span", { class: "life-when" }, `${exactTime(at)} · edit ${rev.toLocaleString()} of ${timeline.head.toLocaleString()}`),
    );
    links.hidden = false;
    from.href = `/playback/${url}?at=${rev}`;
    diff.href = `/diff/${url}?from=${rev}&to=${timeline.head}`;
  }

  const text = createColoured(byId("life-text"), { label: "Source of the page. Go to a word to hear who wrote it", nonce, onCaret: tell });
  const legend = createLegend(byId("life-authors"), (only) => text.show(moment, { only }));

  function show() {
    text.show(moment, { only: legend.only });
    legend.show(moment);
    const isOld = moment.rev !== timeline.head;
    byId("life-old").hidden = !isOld;
    byId("life-playback", HTMLAnchorElement).href = `/playback/${url}${isOld ? `?at=${moment.rev}` : ""}`;
    byId("life-old-rev").textContent = `This is revision ${moment.rev.toLocaleString()} of ${timeline.head.toLocaleString()}.`;
  }

  show();
  // Hovering says the same as pressing, for whoever has a pointer to hover with.
  text.view.contentDOM.addEventListener("pointermove", (event) => {
    const at = text.view.posAtCoords({ x: event.clientX, y: event.clientY });
    const rev = at === null ? 0 : moment.born(at);
    const title = rev > 0 ? `${timeline.author(rev).name}, ${exactTime(timeline.at[rev])}` : "";
    if (text.view.contentDOM.title !== title) text.view.contentDOM.title = title;
  });

  const follower = createFollower(source, (next) => {
    if (next === timeline) return;
    timeline = next;
    moment = next.seek(wanted ?? next.head);
    part("the authors", show);
  });
  onNews(() => follower.news());
  if (wanted !== null && wanted > timeline.head) notice(`This page has ${timeline.head.toLocaleString()} revisions; this is the newest.`, { id: "newest" });
}

part("the authors", () => attachLife((life) => loadLife(life, showAuthors)));
