// What is stored, for who has signed in. User and password live in one variable here and nowhere else. Names of
// repositories and tags come from strangers: they go into the page as text only, and into a command or a request only
// if they are made of what such names are made of.

const AT_ONCE = 25; // Rows of one page.
const PARALLEL = 4; // Requests for details under way: each may cost the server a password check.
const PAGE = 1000; // The most that registry 2.8 and 3 give in one answer unless told otherwise.
const TEXT_MAX = 4 << 20; // A manifest may not be larger (distribution's own limit).
const CONFIG_MAX = 1 << 20;
const PLATFORMS = 12;
const DATED = 200; // Tags whose dates are asked for at once: two or three requests each.
const REPOSITORY = /^(?=.{1,255}$)[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const MANIFESTS = [
  'application/vnd.oci.image.index.v1+json', 'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json', 'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

const { registry, clientAuth } = document.body.dataset;
const at = id => document.getElementById(id);
const order = new Intl.Collator('en', { numeric: true });

let authorization = null;
let view = new AbortController(); // Ends with the view that is shown.
let known = new Map(); // Answers by address.
let repositories = null; // { names, rest }: those that have come, and where the others are asked for.

// ---- requests ----------------------------------------------------------------

class Refused extends Error {
  constructor(status) {
    super({
      401: 'User or password is wrong.',
      403: 'This user may not see that.',
      404: 'There is nothing of that name.',
      429: 'Too many requests: wait a minute, then try again.',
      503: 'The registry is busy: wait a minute, then try again.',
    }[status] ?? `The registry answers with status ${status}.`);
    this.status = status;
  }
}

function said(error) {
  return error instanceof Refused ? error.message : 'The registry cannot be reached, or its answer cannot be read.';
}

async function ask(path, signal, accept = 'application/json') {
  const response = await fetch(path, {
    headers: { Authorization: authorization, Accept: accept },
    // With `omit` the browser asks for no password by itself, but shows no client certificate either. Where nginx wants
    // one, a wrong password therefore brings up the browser's own question first.
    credentials: clientAuth === 'on' ? 'same-origin' : 'omit',
    cache: 'no-store',
    redirect: 'error',
    referrerPolicy: 'no-referrer',
    signal,
  });
  if (!response.ok) throw new Refused(response.status);
  return response;
}

async function small(response, limit) {
  if (Number(response.headers.get('Content-Length')) > limit) {
    await response.body.cancel();
    throw new Error('too large');
  }
  return response.json();
}

const path = name => name.split('/').map(encodeURIComponent).join('/');

/** The next page of a list (RFC 8288), on this server only. */
function next(response) {
  const target = /<([^>]*)>\s*;[^,]*rel="?next"?/.exec(response.headers.get('Link') ?? '')?.[1];
  if (!target) return null;
  const url = new URL(target, location.origin);
  return url.pathname.startsWith('/v2/') ? url.pathname + url.search : null;
}

/** Takes the next page of a list into it. */
async function more(list, key, signal) {
  const response = await ask(list.rest, signal);
  const names = (await response.json())[key] ?? [];
  list.names.push(...names.filter(name => typeof name === 'string'));
  // A server that names the same page for ever is left.
  const rest = next(response);
  list.rest = rest === list.rest ? null : rest;
}

const begun = path => ({ names: [], rest: `${path}?n=${PAGE}` });

const waiting = [];
let running = 0;

/** Runs `work` when fewer than PARALLEL others run; those of a view that was left are dropped. */
function inTurn(signal, work) {
  return new Promise((done, failed) => {
    waiting.push(async () => {
      if (signal.aborted) return failed(signal.reason);
      await work().then(done, failed);
    });
    advance();
  });
}

async function advance() {
  if (running >= PARALLEL || !waiting.length) return;
  running += 1;
  await waiting.shift()();
  running -= 1;
  advance();
}

// ---- what a tag stands for -----------------------------------------------------

/** What `url` answers, asked for once: { digest, body }. */
function fetched(url, accept, limit, signal) {
  if (!known.has(url)) {
    const answer = inTurn(signal, async () => {
      const response = await ask(url, signal, accept);
      const digest = response.headers.get('Docker-Content-Digest') ?? '';
      return { digest: DIGEST.test(digest) ? digest : null, body: await small(response, limit) };
    });
    known.set(url, answer);
    answer.catch(() => known.delete(url));
  }
  return known.get(url);
}

const manifest = (repository, reference, signal) =>
  fetched(`/v2/${path(repository)}/manifests/${encodeURIComponent(reference)}`, MANIFESTS, TEXT_MAX, signal);

/** { digest, made, parts: [{ platform, size }] } */
async function details(repository, tag, signal) {
  const { digest, body } = await manifest(repository, tag, signal);
  const made = await madeOf(repository, body, signal);
  if (Array.isArray(body.manifests)) return { digest, made, parts: await ofIndex(repository, body.manifests, signal) };
  return { digest, made, parts: [{ platform: await platformOf(repository, body, signal), size: sizeOf(body) }] };
}

/** The day on which an image, or the first image of an index, was made; '' where it does not say. */
async function madeOf(repository, body, signal) {
  if (Array.isArray(body.manifests)) {
    const first = images(body.manifests)[0];
    return first ? manifest(repository, first.digest, signal).then(inner => madeOf(repository, { config: inner.body.config }, signal), () => '') : '';
  }
  const { created } = await configOf(repository, body, signal);
  return typeof created === 'string' && /^\d{4}-\d\d-\d\dT/.test(created) ? created.slice(0, 10) : '';
}

/** What a tag is sorted by when the newest comes first; the answers are known by then. */
async function dated(repository, tag, signal) {
  const made = TAG.test(tag) ? await details(repository, tag, signal).then(found => found.made, () => '') : '';
  return { tag, made };
}

/** What it takes to pull it; `null` where the manifest does not say. */
function sizeOf({ config, layers }) {
  const sizes = [config, ...Array.isArray(layers) ? layers : []].map(blob => blob?.size);
  return sizes.every(size => Number.isSafeInteger(size) && size >= 0) ? sizes.reduce((a, b) => a + b, 0) : null;
}

const images = entries => entries.filter(entry => entry?.platform && entry.platform.os !== 'unknown' && DIGEST.test(entry.digest));

/** One level deep, and not for ever: an index may name thousands, and other indexes. */
async function ofIndex(repository, entries, signal) {
  const all = images(entries);
  const parts = await Promise.all(all.slice(0, PLATFORMS).map(async ({ digest, platform }) => {
    const inner = await manifest(repository, digest, signal).catch(() => null);
    return { platform: platformName(platform), size: inner && sizeOf(inner.body) };
  }));
  const others = all.length - parts.length;
  return others > 0 ? [...parts, { platform: `and ${others} more`, size: null }] : parts;
}

const platformName = ({ os, architecture, variant }) => [os, architecture, variant].filter(part => typeof part === 'string' && part).join('/');

const isImage = config => /^application\/vnd\.(?:docker\.container|oci)\.image(?:\.config)?\.v1\+json$/.test(config?.mediaType ?? '');

/** From the image's own configuration; what is no image says what it is. */
async function platformOf(repository, { config, artifactType }, signal) {
  if (!isImage(config)) return String(artifactType ?? config?.mediaType ?? '');
  return platformName(await configOf(repository, { config }, signal));
}

/** The configuration of an image; an empty one where there is none, or none that can be read. */
async function configOf(repository, { config }, signal) {
  if (!isImage(config) || !DIGEST.test(config.digest) || config.size > CONFIG_MAX) return {};
  return fetched(`/v2/${path(repository)}/blobs/${config.digest}`, undefined, CONFIG_MAX, signal)
    .then(({ body }) => body ?? {}, () => ({}));
}

function readable(size) {
  if (size === null) return '';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = size < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(size) / 3));
  const number = size / 1000 ** unit;
  return `${unit && number < 10 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

// ---- a list with search and pages ----------------------------------------------

function element(name, text = '', properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.textContent = text;
  return made;
}

const number = n => n.toLocaleString('en');

function list(root, search, words, draw) {
  const [count, rows, pager] = ['.count', '.rows', '.pager'].map(part => root.querySelector(part));
  let [all, found, page, complete, drawn] = [[], [], 0, false, null];

  function filter() {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = terms.length ? all.filter(name => terms.every(term => name.toLowerCase().includes(term))) : all;
  }

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / AT_ONCE));
    page = Math.min(page, pages - 1);
    const from = page * AT_ONCE;
    const some = found.slice(from, from + AT_ONCE);
    // Rows that stay the same stay in place: the focus may be on one while more names come.
    if (some.join('\n') !== drawn) rows.replaceChildren(...some.map(draw));
    drawn = some.join('\n');
    const total = search.value.trim() ? `${number(found.length)} of ${number(all.length)}` : number(all.length);
    const part = pages > 1 ? `, ${number(from + 1)} to ${number(from + some.length)} shown` : '';
    count.textContent = `${total} ${words[all.length === 1 ? 0 : 1]}${part}${complete ? '' : '; more are coming'}`;
    turns(pages);
  }

  function turns(pages) {
    const here = pager.contains(document.activeElement) ? document.activeElement.textContent : null;
    pager.hidden = pages === 1;
    const buttons = [['First', 0], ['Previous', page - 1], ['Next', page + 1], ['Last', pages - 1]].map(([label, to]) => {
      const button = element('button', label, { type: 'button', disabled: to === page || to < 0 || to >= pages });
      button.addEventListener('click', () => { page = to; show(); });
      return button;
    });
    buttons.splice(2, 0, element('span', `Page ${number(page + 1)} of ${number(pages)}`));
    pager.replaceChildren(...buttons);
    // Drawn again: the focus stays on the button that was pressed, or goes to one that goes on.
    const open = buttons.filter(button => button.disabled === false);
    if (here) (open.find(button => button.textContent === here) ?? open[0])?.focus();
  }

  search.addEventListener('input', () => { page = 0; filter(); show(); });
  return {
    set(names, isComplete) { [all, complete] = [names, isComplete]; filter(); show(); },
    clear() { search.value = ''; [page, all, found, drawn] = [0, [], [], null]; count.textContent = ''; rows.replaceChildren(); pager.hidden = true; },
  };
}

// Details are asked for when a row comes into sight.
const sight = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    target.fill();
  }
});

const repositoryList = list(at('repositories'), at('find-repository'), ['repository', 'repositories'], name => {
  const row = element('li');
  if (!REPOSITORY.test(name)) {
    row.append(element('span', `${name} (no valid name)`));
    return row;
  }
  const about = element('span', '', { className: 'about' });
  row.append(element('a', name, { href: `#/${path(name)}` }), about);
  const { signal } = view;
  row.fill = async () => {
    about.textContent = await summary(name, signal).catch(error => (signal.aborted ? '' : said(error)));
  };
  sight.observe(row);
  return row;
});

/** How many tags there are, and size and date of `latest`, or of the last one by name: three requests. */
async function summary(repository, signal) {
  const list = tagsOf(repository);
  await inTurn(signal, () => more(list, 'tags', signal)).catch(error => {
    if (error.status !== 404) throw error;
  });
  const tags = inOrder(list.names).filter(tag => TAG.test(tag));
  // `regcert check` leaves a repository behind that no request removes.
  if (!tags.length) return /(?:^|\/)regcert-check$/.test(repository) ? 'no tags: left by regcert check' : 'no tags';
  const count = `${number(list.names.length)}${list.rest ? '+' : ''} ${list.names.length === 1 ? 'tag' : 'tags'}`;
  const tag = tags.includes('latest') ? 'latest' : tags.at(-1);
  const { made, parts } = await details(repository, tag, signal);
  const facts = [readable(parts[0]?.size ?? null), made && `made ${made}`].filter(Boolean).join(', ');
  return facts ? `${count}; ${tag}: ${facts}` : count;
}

let shown = ''; // The repository whose tags are shown,
let tags = []; // and its tags, once all have come.
const tagList = list(at('tags'), at('find-tag'), ['tag', 'tags'], tag => {
  const row = element('tr');
  const cells = ['tag', 'platform', 'size number', 'made', 'digest', 'pull'].map(name => element('td', '', { className: name }));
  for (const part of [row, ...cells]) part.setAttribute('role', part === row ? 'row' : 'cell');
  row.append(...cells);
  const [name, platform, size, made, digest, pull] = cells;
  name.textContent = tag;
  const [repository, signal] = [shown, view.signal];
  if (!TAG.test(tag)) {
    pull.textContent = '(no valid name)';
    return row;
  }
  pull.append(copies('Copy pull', `docker pull ${registry}/${repository}:${tag}`, `Copy pull command of ${tag}`));
  row.fill = async () => {
    try {
      const found = await details(repository, tag, signal);
      platform.replaceChildren(...found.parts.map(part => element('div', part.platform)));
      size.replaceChildren(...found.parts.map(part => element('div', readable(part.size))));
      made.textContent = found.made;
      if (found.digest) digest.append(element('code', found.digest.slice(0, 19), { title: found.digest }), ' ', copies('Copy digest', `${registry}/${repository}@${found.digest}`, `Copy digest of ${tag}, with the repository`));
    } catch (error) {
      if (!signal.aborted) platform.textContent = said(error);
    }
  };
  sight.observe(row);
  return row;
});

function copies(text, what, label) {
  const button = element('button', text, { type: 'button' });
  button.dataset.copy = what;
  button.setAttribute('aria-label', label);
  return button;
}

// ---- views -----------------------------------------------------------------------

function leave() {
  view.abort();
  view = new AbortController();
  sight.disconnect();
  at('problem').textContent = '';
  for (const id of ['by-name', 'repositories', 'tags']) at(id).hidden = true;
}

/** Whether the error was one of a view that is gone, or of a password that is no longer right. */
function handled(error, signal) {
  if (signal.aborted) return true;
  if (error.status === 401) signOut('The password is no longer right. Sign in again.');
  return error.status === 401;
}

const inOrder = names => [...names].sort(order.compare);

async function showRepositories() {
  leave();
  const { signal } = view;
  at('repositories').hidden = false;
  at('repositories-title').focus();
  repositoryList.clear();
  const list = repositories ??= begun('/v2/_catalog');
  try {
    if (list.names.length) repositoryList.set(list.names, !list.rest);
    while (list.rest) {
      await more(list, 'repositories', signal);
      repositoryList.set(list.names, !list.rest);
    }
    repositoryList.set(inOrder(list.names), true);
    if (!list.names.length) at('repositories').querySelector('.count').textContent = 'Nothing is stored yet. The first push shows up here.';
  } catch (error) {
    if (handled(error, signal)) return;
    if (error.status === 403) return askForName();
    at('problem').textContent = said(error);
  }
}

function askForName() {
  at('repositories').hidden = true;
  at('by-name').hidden = false;
  at('name').focus();
}

const tagsOf = repository => begun(`/v2/${path(repository)}/tags/list`);

/** `list` is what has come of the tags already. */
async function showTags(repository, list = tagsOf(repository)) {
  leave();
  const { signal } = view;
  shown = repository;
  at('tags').hidden = false;
  at('tags-title').textContent = repository;
  at('tags-title').focus();
  tagList.clear();
  tags = [];
  try {
    while (list.rest) {
      await more(list, 'tags', signal);
      if (list.rest) tagList.set(list.names, false);
    }
    tags = inOrder(list.names);
    arrange();
  } catch (error) {
    if (!handled(error, signal)) at('problem').textContent = said(error);
  }
}

const isPressed = id => at(id).getAttribute('aria-pressed') === 'true';

async function arrange() {
  at('newest').disabled = tags.length > DATED;
  const [signal, names] = [view.signal, isPressed('order') ? [...tags].reverse() : tags];
  if (!isPressed('newest') || at('newest').disabled) return tagList.set(names, true);
  const dates = await Promise.all(names.map(tag => dated(shown, tag, signal)));
  // What does not say when it was made comes last; tags of one day stay in the order of their names.
  dates.sort((a, b) => b.made.localeCompare(a.made));
  if (!signal.aborted) tagList.set(dates.map(({ tag }) => tag), true);
}

/** The repository that the address names, as `#/REPOSITORY`. Other fragments are places on the page. */
function named() {
  if (!location.hash.startsWith('#/')) return null;
  try {
    const name = decodeURIComponent(location.hash.slice(2));
    return REPOSITORY.test(name) ? name : null;
  } catch {
    return null;
  }
}

function route(tags) {
  if (!authorization) return;
  const repository = named();
  if (repository) showTags(repository, tags); else showRepositories();
}

// ---- in and out --------------------------------------------------------------------

function encoded(user, password) {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  return `Basic ${btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''))}`;
}

async function signIn(user, password) {
  authorization = encoded(user, password);
  const repository = named();
  const list = repository ? tagsOf(repository) : begun('/v2/_catalog');
  try {
    // What is shown first is the check of the password as well: one request less.
    await more(list, repository ? 'tags' : 'repositories', view.signal);
    if (!repository) repositories = list;
  } catch (error) {
    if (error.status !== 403 && error.status !== 404) {
      authorization = null;
      throw error;
    }
  }
  at('who').textContent = user;
  at('sign-in').hidden = true;
  at('catalog').hidden = false;
  // Who signs in has come past trusting it.
  fold().open = false;
  route(repository ? list : undefined);
}

const fold = () => document.querySelector('#trust > .fold');

function signOut(why = '') {
  leave();
  [authorization, repositories, known, tags] = [null, null, new Map(), []];
  repositoryList.clear();
  tagList.clear();
  at('catalog').hidden = true;
  fold().open = true;
  at('sign-in').hidden = false;
  at('sign-in-problem').textContent = why;
  at('user').focus();
}

at('sign-in').addEventListener('submit', async event => {
  event.preventDefault();
  const [problem, button] = [at('sign-in-problem'), event.target.querySelector('button')];
  problem.textContent = '';
  if (at('user').value.includes(':')) {
    problem.textContent = 'A user has no colon in its name.';
    return;
  }
  button.disabled = true;
  try {
    await signIn(at('user').value, at('password').value);
    at('password').value = '';
  } catch (error) {
    problem.textContent = said(error);
    at('password').select();
  } finally {
    button.disabled = false;
  }
});

at('by-name').addEventListener('submit', event => {
  event.preventDefault();
  const name = at('name').value.trim();
  at('by-name-problem').textContent = REPOSITORY.test(name) ? '' : 'No repository can have that name.';
  if (REPOSITORY.test(name)) location.hash = `#/${path(name)}`;
});

for (const id of ['order', 'newest']) {
  at(id).addEventListener('click', () => {
    at(id).setAttribute('aria-pressed', !isPressed(id));
    if (tags.length) arrange();
  });
}
at('sign-out').addEventListener('click', () => signOut());
at('again').addEventListener('click', () => {
  [repositories, known] = [null, new Map()];
  route();
});
addEventListener('hashchange', event => {
  const isView = address => new URL(address).hash.startsWith('#/') || !new URL(address).hash;
  if (isView(event.newURL)) route();
});
at('sign-in').hidden = false;
