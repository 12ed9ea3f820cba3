/**
 * Who is on the pages this tab listens to: a map per `here:` topic, kept by
 * events and replaced by the lists that beats bring.
 * @module
 */

/** @typedef {import("./beat.js").Entry} Entry */

/** @param {any} entry @returns {entry is Entry} */
function isEntry(entry) {
  return !!entry && typeof entry.client === "string" && typeof entry.name === "string";
}

/**
 * @param {() => string} own client id of this tab
 * @param {(change: { topic: string, entries: Map<string, Entry> }) => void} onChange
 */
export function createPeople(own, onChange) {
  /** @type {Map<string, Map<string, Entry>>} */
  const topics = new Map();

  /** @param {string} topic */
  function people(topic) {
    let map = topics.get(topic);
    if (!map) topics.set(topic, (map = new Map()));
    return map;
  }

  return {
    /** @param {import("./transports.js").LiveEvent} event */
    take(event) {
      const map = people(event.topic);
      if (event.kind === "left") {
        if (!map.delete(event.data?.client)) return;
      } else if ((event.kind === "joined" || event.kind === "changed") && isEntry(event.data)) {
        map.set(event.data.client, event.data);
      } else return;
      onChange({ topic: event.topic, entries: map });
    },
    /** @param {string} topic @param {unknown} list */
    replace(topic, list) {
      if (!Array.isArray(list)) return;
      const map = people(topic);
      map.clear();
      for (const entry of list) if (isEntry(entry)) map.set(entry.client, entry);
      onChange({ topic, entries: map });
    },
    /** Entries that are not this tab. @returns {number} */
    others() {
      let count = 0;
      for (const map of topics.values()) for (const client of map.keys()) if (client !== own()) count += 1;
      return count;
    },
  };
}
