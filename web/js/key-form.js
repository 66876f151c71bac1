/** Asks for a key where the server answers nobody without one. */

import { useKey } from "./api.js";

/** Show the form in the notice; `onKey()` is called once a key has been given. */
export function askForKey(find, onKey) {
  const form = find("key-form");
  find("key").value = "";
  form.hidden = false;
  form.onsubmit = (event) => {
    event.preventDefault();
    useKey(find("key").value.trim());
    form.hidden = true;
    onKey();
  };
}
