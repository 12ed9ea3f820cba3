// Offers text that could not be put into the page: to be copied, downloaded, or given up on purpose. Never dropped.

/**
 * @param {object} options
 * @param {string} options.text
 * @param {string} options.why one or two sentences
 * @param {string} options.fileName
 * @param {() => void} [options.onDiscard] absent: it cannot be given up here
 * @returns {HTMLDialogElement}
 */
export function offerCopy({ text, why, fileName, onDiscard }) {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog copy-dialog";
  dialog.setAttribute("aria-labelledby", "copy-title");
  const title = document.createElement("h2");
  title.id = "copy-title";
  title.textContent = "Keep a copy of your text";
  const reason = document.createElement("p");
  reason.textContent = why;
  const area = document.createElement("textarea");
  area.className = "copy-text";
  area.readOnly = true;
  area.rows = 12;
  area.value = text;
  area.setAttribute("aria-label", "Your text");
  const row = document.createElement("div");
  row.className = "dialog-actions";
  row.append(
    button("Copy", "button primary", async (self) => {
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // Not in a secure context, or not allowed: the old way.
        area.select();
        document.execCommand("copy");
      }
      self.textContent = "Copied";
    }),
    button("Download", "button", () => download(text, fileName)),
  );
  if (onDiscard) {
    row.append(
      button("Discard…", "button danger", (self) => {
        if (self.dataset.sure) {
          onDiscard();
          dialog.close();
        } else {
          self.dataset.sure = "yes";
          self.textContent = "Discard for good";
        }
      }),
    );
  }
  row.append(button("Close", "button", () => dialog.close()));
  dialog.append(title, reason, area, row);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * @param {string} label
 * @param {string} className
 * @param {(self: HTMLButtonElement) => void} onClick
 */
function button(label, className, onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = label;
  made.addEventListener("click", () => onClick(made));
  return made;
}

/** @param {string} text @param {string} name */
function download(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/markdown;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
