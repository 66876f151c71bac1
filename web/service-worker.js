/** Keeps a copy of the page, so that it opens without its server. Fresh files come first, the copy when there are none. */

const CACHE = "livedigit";
const PATIENCE_MS = 3000;
const SHELL = [
  "/",
  "/static/style.css",
  "/static/icon.svg",
  "/static/manifest.webmanifest",
  ...[
    "api",
    "connection",
    "correcting",
    "corrections",
    "drawing",
    "explain",
    "focus",
    "history",
    "key-form",
    "keyboard-pen",
    "main",
    "modes",
    "numbers",
    "pad",
    "panels",
    "picture",
    "picture-inputs",
    "png",
    "reader",
    "render",
    "results",
    "samples",
    "share",
    "shortcuts",
    "status",
    "storage",
    "strings",
    "strokes",
    "tools",
    "understanding",
    "unread",
  ].map((name) => `/static/js/${name}.js`),
];

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)));
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin || !SHELL.includes(pathname)) return;
  event.respondWith(fetchOrRecall(event.request, pathname));
});

async function fetchOrRecall(request, pathname) {
  const cache = await caches.open(CACHE);
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    const response = await fetch(request, { signal: patience });
    // An error of a proxy whose server is gone: the copy is better than that.
    if (response.status >= 500) return (await cache.match(pathname)) ?? response;
    // Without room for a newer copy, the file itself is as good as ever, but not where patience has cut it short.
    if (response.ok) await cache.put(pathname, response.clone()).catch(() => patience.throwIfAborted());
    return response;
  } catch (error) {
    const copy = await cache.match(pathname);
    if (copy) return copy;
    throw error;
  }
}
