/** JSON in the browser's storage, which may be forbidden, full, or damaged. */

const PREFIX = "livedigit.";

/** What was kept under a name; null where there is nothing, or nothing that can be read. */
export function recall(name, storage = "localStorage") {
  try {
    return JSON.parse(window[storage].getItem(PREFIX + name));
  } catch {
    return null;
  }
}

/** Keep a value: false where the browser does not let us. */
export function keep(name, value, storage = "localStorage") {
  try {
    window[storage].setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Call `onChange()` where another tab changes what is kept under a name. */
export function follow(name, onChange) {
  addEventListener("storage", ({ key }) => {
    // Without a key, all was deleted.
    if (key === null || key === PREFIX + name) onChange();
  });
}
