/** The ways a picture comes in: chosen, taken, pasted or dropped. */

import { loadModule } from "./api.js";

/**
 * Clean each and hand it on, unless another has come by then: `width()` is that of the canvas; `listener` has onStart,
 * onPicture and onError. Returns a function that forgets what is still being cleaned.
 */
export function attachPictureInputs(find, width, listener) {
  let newest = 0;
  for (const [button, input] of [
    ["open-picture", "picture-file"],
    ["open-camera", "camera-file"],
  ]) {
    find(button).addEventListener("click", () => find(input).click());
    find(input).addEventListener("change", ({ target }) => {
      take(target.files);
      // So that choosing the same file again is a change.
      target.value = "";
    });
  }
  addEventListener("paste", (event) => take(event.clipboardData.files));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });

  async function take([file]) {
    if (!file) return;
    const number = (newest += 1);
    listener.onStart();
    try {
      const { cleanPicture } = await loadModule("picture");
      const { steps, picture } = await cleanPicture(file, width());
      if (number !== newest) return;
      const views = ["picture-original", "picture-evened", "picture-ink"].map(find);
      views.forEach((view, index) => view.replaceChildren(steps[index]));
      listener.onPicture(picture);
    } catch (error) {
      if (number === newest) listener.onError(error);
    }
  }

  return () => {
    newest += 1;
  };
}
