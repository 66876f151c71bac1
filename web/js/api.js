/** The only module that talks to the server. */

import { keep, recall } from "./storage.js";

const TIMEOUT_MS = 5000;
const MAX_RETRIES = 2;

let key = recall("key", "sessionStorage");
/** By name, a promise of the module, and every import of it so far. */
const modules = new Map();
const imports = new Map();

/** `kind` is "timeout", "network" or "http"; the last has the status and the server's own words. */
export class ApiError extends Error {
  constructor(kind, { status = 0, detail = "", retryAfterS = null } = {}) {
    super(detail || kind);
    Object.assign(this, { kind, status, detail, retryAfterS });
  }
}

/**
 * Ask what digit a PNG shows. A timeout is tried again, at most twice; aborting `signal` ends it all.
 * Throws ApiError, or the signal's AbortError.
 */
export async function predict(png, { debug = false, signal } = {}) {
  return checked(await postPatiently(debug ? "/predict?debug=true" : "/predict", png, signal), isDigit);
}

/** Ask what number a PNG or { strokes, width, height } shows; otherwise like `predict`. */
export async function readNumber(drawing, { signal } = {}) {
  return checked(await postPatiently("/read", drawing, signal), isNumber);
}

/**
 * A module of the page that comes when it is first needed. Throws ApiError where it cannot be fetched, or not in time.
 * Those who wait for the same one go on in the order in which they asked, which browsers leave to chance.
 */
export function loadModule(name) {
  if (!modules.has(name)) modules.set(name, importInTime(name));
  return modules.get(name);
}

async function importInTime(name) {
  const earlier = imports.get(name) ?? [];
  // One that hangs cannot be cancelled, and another from its address would hang with it. It counts if it comes first.
  const newest = import(`./${name}.js${earlier.length > 0 ? `?${earlier.length}` : ""}`);
  imports.set(name, [newest, ...earlier]);
  let timer = 0;
  const late = new Promise((_, reject) => {
    timer = setTimeout(reject, TIMEOUT_MS, new ApiError("timeout"));
  });
  try {
    return await Promise.race([Promise.any(imports.get(name)), late]);
  } catch (error) {
    modules.delete(name);
    throw error instanceof ApiError ? error : new ApiError("network");
  } finally {
    clearTimeout(timer);
  }
}

async function postPatiently(path, content, signal) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await post(path, content, signal);
    } catch (error) {
      if (error.kind !== "timeout" || attempt === MAX_RETRIES) throw error;
    }
  }
}

/** A page that shows half an answer would be worse than one that says what is wrong. */
function checked(answer, isSound) {
  if (isSound(answer)) return answer;
  throw new ApiError("http", { status: 200 });
}

const isCandidate = (each) => Number.isInteger(each?.digit) && Number.isFinite(each.confidence);

function isDigit(answer) {
  const top = answer.top_predictions;
  return isCandidate(answer) && Array.isArray(top) && top.length > 1 && top.every(isCandidate);
}

function isNumber({ number, confidence, digits, alternatives }) {
  const isFramed = (each) => isCandidate(each) && each.box?.length === 4 && each.box.every(Number.isFinite);
  const isReading = (each) => /^\d+$/.test(each?.number) && Number.isFinite(each.confidence);
  if (!isReading({ number, confidence }) || !Array.isArray(digits) || !Array.isArray(alternatives)) return false;
  return digits.length === number.length && digits.every(isFramed) && alternatives.every(isReading);
}

/** Who answers: {"status", "model", "version"}, also while there is no model. Throws ApiError. */
export async function health() {
  const response = await request("/health");
  const answer = await readJson(response);
  if (!answer?.status) throw new ApiError("http", { status: response.status });
  return answer;
}

/**
 * The logits of a batch of pictures, each 784 grey levels from 0 to 1, by the Open Inference Protocol.
 * Throws ApiError.
 */
export async function infer(model, pictures) {
  const input = { name: "image", datatype: "FP32", shape: [pictures.length, 28, 28, 1], data: pictures.flat() };
  const body = { inputs: [input], outputs: [{ name: "logits" }] };
  const answer = await post(`/v2/models/${encodeURIComponent(model)}/infer`, body);
  const { data, shape } = answer.outputs[0];
  return Array.from({ length: shape[0] }, (_, row) => data.slice(row * shape[1], (row + 1) * shape[1]));
}

/** What is known about a model: { versions, properties: { parity, ... } }. Throws ApiError. */
export async function describeModel(model) {
  const answer = await readJson(await request(`/v2/models/${encodeURIComponent(model)}`));
  if (!answer?.properties) throw new ApiError("http");
  return answer;
}

/** Does this server want to be told of corrections? Throws ApiError where it does not say. */
export async function wantsCorrections() {
  const response = await request("/feedback");
  const answer = await readJson(response);
  if (!response.ok || !answer) throw new ApiError("http", { status: response.status });
  return answer.wanted === true;
}

/** Send a correction: { name, label, strokes, answered }. Throws ApiError. */
export async function sendCorrection(correction) {
  await post("/feedback", correction);
}

/** Use a key for every further request, in this tab only. */
export function useKey(given) {
  key = given;
  keep("key", key, "sessionStorage");
}

/** Post a PNG as it is, and anything else as JSON. */
async function post(path, content, signal) {
  const isPng = content instanceof Uint8Array;
  const headers = { "Content-Type": isPng ? "image/png" : "application/json" };
  const options = { method: "POST", headers, body: isPng ? content : JSON.stringify(content) };
  const response = await request(path, options, signal);
  const answer = await readJson(response);
  if (response.ok && answer) return answer;
  throw new ApiError("http", {
    status: response.status,
    detail: answer?.detail ?? "",
    retryAfterS: secondsOf(response.headers.get("Retry-After")),
  });
}

async function request(path, options = {}, signal = undefined) {
  const clock = new AbortController();
  const timer = setTimeout(() => clock.abort(), TIMEOUT_MS);
  const signals = [clock.signal, signal].filter(Boolean);
  const headers = isSendable(key) ? { ...options.headers, Authorization: `Bearer ${key}` } : options.headers;
  try {
    const response = await fetch(path, { ...options, headers, signal: AbortSignal.any(signals) });
    // The body is read under the same clock: a server may send its headers and then stall.
    return new Response(await response.arrayBuffer(), response);
  } catch {
    if (signal?.aborted) throw signal.reason;
    throw new ApiError(clock.signal.aborted ? "timeout" : "network");
  } finally {
    clearTimeout(timer);
  }
}

/** Can a header hold this key? One that it cannot is a wrong one, and the server will ask for another. */
function isSendable(given) {
  return /^[\x20-\x7e\xa0-\xff]+$/.test(given ?? "");
}

async function readJson(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

function secondsOf(header) {
  const seconds = Number.parseFloat(header ?? "");
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}
