// Leaving the page: a link waits for the last acknowledgement, everything else warns while something is unsaved.

/** Longest wait before a link is followed with changes still on their way. */
const WAIT_MS = 2000;

/** The same where the server is known to be out of reach: just one more try, and no button that seems dead. */
const WAIT_OFFLINE_MS = 400;

/**
 * @param {import('./session.js').Session} session
 * @returns {() => void} lets go
 */
export function guardLeaving(session) {
  /** @param {MouseEvent} event */
  async function onClick(event) {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (
      !(link instanceof HTMLAnchorElement) ||
      (link.target && link.target !== "_self") ||
      link.hasAttribute("download")
    )
      return;
    const url = new URL(link.href, location.href);
    const samePage =
      url.origin === location.origin && url.pathname === location.pathname && url.search === location.search;
    if (samePage || session.outbox.unsaved === 0) return;
    event.preventDefault();
    const wait = session.status.state === "offline" ? WAIT_OFFLINE_MS : WAIT_MS;
    session.retryNow({ asked: true });
    await session.outbox.whenSaved(wait);
    // With something still unsaved the browser asks, by the handler below.
    location.href = link.href;
  }

  /** @param {BeforeUnloadEvent} event */
  function onBeforeUnload(event) {
    if (session.outbox.unsaved === 0) return;
    event.preventDefault();
    // Engines before the standard look at this instead.
    event.returnValue = true;
  }

  const leave = () => session.leave();
  const onHidden = () => {
    if (document.visibilityState === "hidden") session.leave();
  };
  document.addEventListener("click", onClick);
  document.addEventListener("visibilitychange", onHidden);
  addEventListener("beforeunload", onBeforeUnload);
  addEventListener("pagehide", leave);
  return () => {
    document.removeEventListener("click", onClick);
    document.removeEventListener("visibilitychange", onHidden);
    removeEventListener("beforeunload", onBeforeUnload);
    removeEventListener("pagehide", leave);
  };
}
