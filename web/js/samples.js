/** A drawing of each digit, for those who want to see before they draw. */

import { decodeStrokes } from "./strokes.js";

const SAMPLES = [
  "wWgJpBZtBNtBAxBEtBUtBYpBkBlBoBhBwBdwBV0BJ4BF0BI0BQ0BYsBcoBkBcoBYsBMsBAwBJwBRsBZsBhBkBpBgBtBY1BQ5BI5BA5BJ5BRxBNZ",
  "0R4GF8BF8BA4BA4BA8BE4BA4BA4BE4BF4BA4BA4B",
  "kLgNEpBM1BYxBkBdwBZ0BVsBAwBMsBccgBUoBE0BF0BNwBVsBZsBhBwBhBsBhBsBlBoBlBoBlBgBdY9BkBlBIR9BcxBkCJwBU4BgB0BYwBY0BQwBE4BNoBN",
  "8KsH4BA8BA4BF4BA4BE4BAMYlBwBpBsBlBwBpBsBpBsBoBA8BE0BMoBckBoBQwBEwBJ0BV0BdsBtBoBxBgB1BQxBE1BNtBNxBdhBtBNR",
  "sMgHJ8BJ4BJ4BJ4BJ0BF4BYY8BA4BA4BA4BA8BA4BA8BA.8UsHA4BA8BF4BA4BF4BA4BF4BA8BA4BE4BA4BA4B",
  "kNsHF4BJ8BJ8BF4BJ4BsBZ4Bd8BR0BMwBUsBgBYgBQwBIwBF0BVwBhBwBlBsBpBgBxBU1BMtBE1BR1BdlBV.sNoH4BA8BA4BA8BA8BAcF",
  "4SsGd0BhBwBdwBdwBdwBRoBRsBZ0BR4BNwBE0BMwBUsBckBoBY4BQ0BEsBJoBdkBlBYlBA1BN5BdtBtBd5BN5BAxBUtBcpBcNI",
  "kKkI8BF4BA4BA8BF8BF4BF8BF4BFZ0BV0BZ0BR0BV0BV0BV0BV0BZ4BV0BV0BZ0BV0B.kNkS4BA4BA4BF0BA8BF4BA",
  "0VsKVlBlBxBpBlB5BFhCMxBcZoBR8BI4BYkBoBkBwBgBoBgBsBgBwBkBsBkBYoBM0BF0BRwBdkBxBY5BMxBA1BNxBVhBhBNtBI9BU5BkBpBsBlBwBlBsBhBoBlBkBpBchBQxBJ5BFR",
  "0VkNFxBR9BVxBtBd5BRxBEtBYpBsBZwBJ4BM8BYsBoBY0BI0BFsBdoBpBgBpBUxCEMEkBAwBE8BA4BF0BJ0BN4BR0BZoBlBkB1BY1BQxBMRE",
];
/** Of a digit in a number. */
const SCALE = 0.6;
const ADVANCE = 150;
const [LEFT, TOP] = [45, 56];
let previous = -1;

/** Every drawing, in the order of the digits. */
export function samples() {
  return SAMPLES.map((sample) => decodeStrokes(sample));
}

/** One of them, never the same twice in a row. */
export function nextSample() {
  previous = (previous + 1 + Math.floor(Math.random() * (SAMPLES.length - 1))) % SAMPLES.length;
  return samples()[previous];
}

/** Four of them side by side. */
export function nextNumber() {
  return Array.from({ length: 4 }, nextSample).flatMap((strokes, index) =>
    strokes.map((stroke) => stroke.map(([x, y]) => [LEFT + index * ADVANCE + x * SCALE, TOP + y * SCALE].map(Math.round))),
  );
}
