/**
 * The words of the status line: few, and true at every moment.
 * @module
 */

/** @typedef {import("../sync/ladder.js").Status} Status */

/** @param {number} ms since the epoch @returns {string} "14:03" */
export function clockTime(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** @param {number} ms @returns {string} "2 s", "1 min" */
export function span(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** @param {Status} status @returns {string} */
export function statusWords(status) {
  switch (status.state) {
    case "live":
      return status.rung === "hold" ? "Live by held requests" : "Live";
    case "refreshing":
      return `Refreshed every ${span(status.intervalMs)}`;
    case "offline":
      return `Offline since ${clockTime(status.since)}`;
    case "off":
      return "Not live";
    default:
      return "Connecting…";
  }
}

/** @param {number} heard ms, 0: never @param {number} now @returns {string} */
export function heardWords(heard, now) {
  if (heard === 0) return "Nothing heard from the server yet.";
  const ago = Math.max(0, now - heard);
  if (ago < 2000) return "Last heard from the server just now.";
  if (ago < 3600000) return `Last heard from the server ${span(ago)} ago.`;
  return `Last heard from the server at ${clockTime(heard)}.`;
}

/**
 * When somebody was here last, in words that go on a sentence, by the reader's own calendar.
 * @param {number} then @param {number} now both ms
 * @returns {string} "5 minutes ago", "on Tuesday"
 */
export function sinceTime(then, now) {
  const seconds = (now - then) / 1000;
  if (seconds < 45) return "a moment ago";
  const [day, today] = [new Date(then), new Date(now)];
  // Noon to noon, since a day of the calendar may have 23 hours.
  const days = Math.round((new Date(today).setHours(12, 0, 0, 0) - new Date(day).setHours(12, 0, 0, 0)) / 86_400_000);
  if (days === 0 || seconds < 6 * 3600) return relativeTime(then, now);
  if (days === 1) return "yesterday";
  if (days < 7) return `on ${day.toLocaleDateString("en", { weekday: "long" })}`;
  const sameYear = day.getFullYear() === today.getFullYear();
  return `on ${day.toLocaleDateString("en-GB", sameYear ? { day: "numeric", month: "long" } : { day: "numeric", month: "long", year: "numeric" })}`;
}

/**
 * A moment as people say it.
 * @param {number} then @param {number} now both ms
 * @returns {string}
 */
export function relativeTime(then, now) {
  const seconds = Math.round((now - then) / 1000);
  if (seconds < 45) return "just now";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return minutes <= 1 ? "a minute ago" : `${minutes} minutes ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 24) return hours === 1 ? "an hour ago" : `${hours} hours ago`;
  const days = Math.round(hours / 24);
  if (days === 1) return "yesterday";
  if (days < 30) return `${days} days ago`;
  const date = new Date(then);
  const sameYear = date.getFullYear() === new Date(now).getFullYear();
  return date.toLocaleDateString([], sameYear ? { day: "numeric", month: "long" } : { day: "numeric", month: "long", year: "numeric" });
}
