/** Where the server answers nobody without a key, the notice asks for one. */

import { useKey } from "./api.js";

/** `onKey()` is called once a key has been given. */
export function attachKeyForm(find, onKey) {
  find("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(find("key").value.trim());
    find("key").value = "";
    onKey();
  });
}
