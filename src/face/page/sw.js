// Keeps the page itself, so that it opens while the node is off; asks the node first. Never keeps data.
const KEPT = 'nuthatch-page';
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  const isPage = pathname === '/' || /^\/[\w.-]+\.(js|css|svg|webmanifest)$/.test(pathname);
  if (request.method !== 'GET' || origin !== self.location.origin || !isPage) return;
  event.respondWith((async () => {
    const kept = await caches.open(KEPT);
    try {
      const answer = await fetch(request);
      if (answer.ok) await kept.put(request, answer.clone());
      return answer;
    } catch (error) {
      const old = await kept.match(request);
      if (old) return old;
      throw error;
    }
  })());
});
