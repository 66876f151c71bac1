/** The page's keys, wherever the focus is. */

const hasCommand = (event) => (event.ctrlKey || event.metaKey) && !event.altKey;
const hasAlt = (event) => event.altKey && !event.ctrlKey && !event.metaKey;

// By place on the keyboard where Option makes another character of it on a Mac; by letter where users know the letter.
const SHORTCUTS = [
  { action: "clear", matches: (event) => event.key === "Escape" },
  { action: "clear", matches: (event) => hasAlt(event) && event.code === "KeyC" },
  { action: "toggleDebug", matches: (event) => hasAlt(event) && event.code === "KeyD" },
  { action: "redo", matches: (event) => hasCommand(event) && event.key.toLowerCase() === "z" && event.shiftKey },
  { action: "undo", matches: (event) => hasCommand(event) && event.key.toLowerCase() === "z" },
  { action: "redo", matches: (event) => hasCommand(event) && event.key.toLowerCase() === "y" },
];

/** Call `actions[name]` for the keys above. */
export function listenForShortcuts(actions) {
  addEventListener("keydown", (event) => {
    const shortcut = SHORTCUTS.find(({ matches }) => matches(event));
    // In a field of text they are for the text.
    if (!shortcut || event.target.type === "password") return;
    event.preventDefault();
    actions[shortcut.action]();
  });
}
