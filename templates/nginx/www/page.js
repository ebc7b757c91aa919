// What both pages need: a button at everything that can be copied, and the part for the reader's system opened.
// It sends nothing, and puts text into the page as text only.
'use strict';

const announcement = document.getElementById('announcement');

function announce(text) {
  // The same words twice would not be read out twice.
  announcement.textContent = '';
  setTimeout(() => { announcement.textContent = text; }, 50);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // Over plain http, or where it is not allowed, there is no clipboard but the selection's.
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'hidden';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('the browser refuses');
}

document.addEventListener('click', async event => {
  const button = event.target.closest('button[data-copy]');
  if (!button) return;
  const label = button.dataset.label ??= button.textContent;
  try {
    await copy(button.dataset.copy);
    button.textContent = 'Copied';
    announce('Copied');
  } catch {
    button.textContent = 'Select it';
    announce('The browser does not let this page copy; select the text instead');
  }
  button.focus();
  setTimeout(() => { button.textContent = label; }, 1500);
});

for (const block of document.querySelectorAll('[data-copyable]')) {
  const text = block.textContent.trim();
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'copy';
  button.dataset.copy = text;
  button.textContent = 'Copy';
  button.setAttribute('aria-label', `Copy ${block.dataset.copyable || text.split('\n')[0]}`);
  const frame = document.createElement('div');
  frame.className = 'copyable';
  block.replaceWith(frame);
  frame.append(block, button);
}

// A link to a section that is folded opens it.
document.addEventListener('click', event => {
  const fold = document.querySelector(`${event.target.closest('a[href^="#"]:not([href*="/"])')?.hash || 'none'} > .fold`);
  if (fold) fold.open = true;
});

const system = navigator.userAgentData?.platform ?? navigator.platform ?? '';
const part = /mac|iphone|ipad/i.test(system) ? 'macos' : /win/i.test(system) ? 'windows' : 'linux';
for (const id of ['linux', 'macos', 'windows']) document.getElementById(id).open = id === part;
