/** Where the keyboard goes on when the element that it was at has nothing more to do. */

/** Make a change; where it hides, disables or removes the focused element, the focus goes to `next()`. */
export function keepFocus(change, next) {
  const focused = document.activeElement;
  // Who came by pointer would only see the page jump.
  const isSeen = focused.matches(":focus-visible");
  change();
  if (isSeen && (focused.disabled || !focused.checkVisibility())) next().focus();
}
