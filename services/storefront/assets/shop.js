// Keeps parts of a page as new as the server's stream, and does nothing that a page needs.
'use strict';

(() => {
  const STALE_AFTER_MS = 5000;

  let pressed = false;
  addEventListener('pointerdown', () => { pressed = true; });
  ['pointerup', 'pointercancel'].forEach((kind) => addEventListener(kind, () => { pressed = false; }));

  // A part is one element with data-live; each message is its new content, the last is named "done".
  function follow(part) {
    const source = new EventSource(part.dataset.live);
    let heard = Date.now();
    const put = (event) => {
      heard = Date.now();
      part.classList.remove('stale');
      // A button that vanishes between press and release was never clicked.
      if (pressed) {
        addEventListener('pointerup', () => setTimeout(() => put(event)), { once: true });
        return;
      }
      const focused = part.contains(document.activeElement) && document.activeElement.id;
      part.innerHTML = event.data;
      if (focused) document.getElementById(focused)?.focus();
      say(part, event.type === 'done');
    };
    source.addEventListener('part', put);
    source.addEventListener('beat', () => {
      heard = Date.now();
      part.classList.remove('stale');
    });
    source.addEventListener('done', (event) => {
      put(event);
      source.close();
      clearInterval(watch);
    });
    const watch = setInterval(() => {
      if (Date.now() - heard > STALE_AFTER_MS) part.classList.add('stale');
    }, 1000);
    addEventListener('pagehide', () => source.close());
    addEventListener('pageshow', (event) => {
      if (event.persisted) location.reload();
    });
  }

  // What is said aloud changes at most once in five seconds.
  let said = 0;
  function say(part, isLast) {
    const text = part.querySelector('[data-say]')?.dataset.say;
    const voice = document.getElementById('voice');
    if (!text || !voice || voice.textContent === text || (Date.now() - said < 5000 && !isLast)) return;
    said = Date.now();
    voice.textContent = text;
  }

  document.querySelectorAll('[data-live]').forEach(follow);

  // A form that was sent is not sent again by a second click; the server would not mind.
  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = 'yes';
    setTimeout(() => delete form.dataset.sent, 2000);
  });
})();
