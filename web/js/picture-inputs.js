/** The ways a picture comes in: chosen, taken, pasted or dropped. */

/** Call `onPicture(file)` for each. */
export function attachPictureInputs(find, onPicture) {
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

  function take(files) {
    if (files.length > 0) onPicture(files[0]);
  }
}
