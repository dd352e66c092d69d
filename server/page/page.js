// The live page: shows what /api/events sends each second, and charts of /api/metrics/history.
//
// Whatever comes from the server is put in as text, never as HTML.
'use strict';

const byId = (id) => document.getElementById(id);

// An element with a class, text and children; nothing that is null.
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function makeSvg(tag, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// How far the sidecar's clock is ahead of the browser's.
let clockAhead = 0;
const serverNow = () => Date.now() + clockAhead;

// --- Figures for people. ---

const grouped = new Intl.NumberFormat('en', {maximumFractionDigits: 0});

function textOfNumber(value) {
  if (value === null || value === undefined) return '–';
  if (!Number.isInteger(value) && Math.abs(value) < 10) return value.toFixed(1);
  return grouped.format(value);
}

function textOfSeconds(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds === 0) return '0';
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

function textOfBytes(bytes) {
  if (bytes === null || bytes === undefined) return '–';
  const mebibytes = bytes / 1048576;
  return mebibytes < 1024 ? `${mebibytes.toFixed(0)} MiB` : `${(mebibytes / 1024).toFixed(1)} GiB`;
}

function textOfPercent(value) {
  return value === null || value === undefined ? '–' : `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} %`;
}

function textOfAge(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

const textOfWord = (word) => word.replaceAll('_', ' ');

function textOfTime(time) {
  return new Date(time).toLocaleTimeString([], {hour12: false});
}

const severityClass = {critical: 'bad', warning: 'warning', info: ''};
const statusClass = {
  healthy: 'good', up: 'good', degraded: 'warning', unknown: 'warning', unhealthy: 'bad',
  down: 'bad',
};

// --- What is shown of a snapshot. ---

function showHead(health, rates) {
  const status = byId('status');
  status.textContent = health.status;
  status.className = `badge ${statusClass[health.status] || ''}`;
  byId('version').textContent = health.version;
  byId('phase').textContent = textOfWord(health.phase);
  byId('uptime').textContent = `up ${textOfAge(health.uptime_seconds)}`;
  const process = rates.find((one) => one.pool === '');
  byId('cpu').textContent = process ? `processor ${textOfPercent(process.cpu_percent)}` : '';
  byId('memory').textContent = process ? `memory ${textOfBytes(process.resident_bytes)}` : '';
  byId('as-of').textContent = `as of ${textOfTime(health.time)}`;
  document.title = `${health.status} – dbsidecar`;
}

function showList(name, entries, toElement) {
  byId(`${name}-section`).hidden = entries.length === 0;
  byId(name).replaceChildren(...entries.map(toElement));
}

function showAlert(alert) {
  const item = make('li', severityClass[alert.severity], make('strong', '', alert.name));
  if (alert.pool) item.append(make('span', 'quiet', ` pool ${alert.pool}`));
  if (alert.since_time) item.append(make('span', 'quiet', ` since ${textOfTime(alert.since_time)}`));
  item.append(make('p', '', alert.summary), linkTo(alert.runbook_url, 'what to do'));
  return item;
}

function showRecommendation(advice) {
  const item = make('li', severityClass[advice.severity], make('strong', '', textOfWord(advice.id)));
  if (advice.pool) item.append(make('span', 'quiet', ` pool ${advice.pool}`));
  item.append(make('p', '', advice.evidence), make('p', '', advice.remedy));
  if (advice.option) {
    item.append(make('p', 'quiet', `--${advice.option} ${advice.suggested_value}`));
  }
  item.append(linkTo(advice.docs_url, 'more'));
  return item;
}

// Only to where a browser can safely go.
function linkTo(url, text) {
  if (!/^https?:\/\//.test(url || '')) return url ? make('p', 'quiet', url) : '';
  const link = make('a', '', text);
  link.href = url;
  link.rel = 'noreferrer';
  return link;
}

function connectionBar(figures) {
  const parts = [
    ['active', 'active', figures.active],
    ['idle', 'idle', figures.idle],
    ['opening', 'connecting', figures.connecting],
    ['other', 'pinging, resetting, closing',
      figures.pinging + figures.resetting + figures.closing],
    ['other', 'reserved', figures.reserved],
    ['free', 'not open', Math.max(0, figures.max - figures.total)],
  ].filter(([name, , count]) => count > 0 || name === 'active' || name === 'idle');
  const bar = make('div', 'bar');
  bar.setAttribute('role', 'img');
  bar.setAttribute('aria-label', `Connections: ${
    parts.map(([, label, count]) => `${count} ${label}`).join(', ')}; at most ${figures.max}`);
  const legend = make('ul', 'legend');
  for (const [name, label, count] of parts) {
    const segment = make('span', name);
    segment.style.flex = `${count} 1 0`;
    bar.append(segment);
    legend.append(make('li', name, make('span', '', `${count} ${label}`)));
  }
  return [bar, legend];
}

function figureList(entries) {
  const list = make('dl', 'figures');
  for (const [name, value, trouble] of entries) {
    list.append(make('div', '', make('dt', '', name), make('dd', trouble ? 'trouble' : '', value)));
  }
  return list;
}

function table(caption, heads, rows) {
  const head = make('tr', '');
  for (const text of heads) {
    const cell = make('th', '', text);
    cell.scope = 'col';
    head.append(cell);
  }
  const body = make('tbody', '');
  for (const [first, ...others] of rows) {
    const cell = make('th', '', first);
    cell.scope = 'row';
    body.append(make('tr', '', cell, ...others.map((text) => make('td', '', text))));
  }
  return make('table', '', make('caption', '', caption), make('thead', '', head), body);
}

function latencyTable(performance) {
  const rows = [['waiting for a connection', performance.queue_wait],
    ['the database', performance.execute], ['in all', performance.total_time]];
  const quantiles = ['p50_seconds', 'p95_seconds', 'p99_seconds', 'max_seconds'];
  return table(`Latency over the last ${textOfAge(performance.window_seconds || 0)}`,
    ['', 'p50', 'p95', 'p99', 'max'],
    rows.map(([name, times]) =>
      [name, ...quantiles.map((quantile) => textOfSeconds(times ? times[quantile] : null))]));
}

function laneTable(lanes) {
  return table('Lanes', ['', 'connections', 'active', 'idle', 'waiting', 'in flight'],
    lanes.map((lane) => [lane.lane, `${lane.total} of ${lane.max}`,
      ...[lane.active, lane.idle, lane.waiting, lane.in_flight].map(String)]));
}

function poolCard(pool, health, rates) {
  const figures = pool.metrics;
  const check = pool.check || {};
  const rate = rates.find((one) => one.pool === pool.pool) || {};
  const performance = health.detailed.performance.find((one) => one.pool === pool.pool);
  const card = make('section', 'card pool');
  card.dataset.pool = pool.pool;
  const server = [figures.driver, check.server_version, check.role].filter(Boolean).join(' ');
  card.append(
    make('div', 'heading', make('h2', '', `Pool ${pool.pool}`),
      make('strong', `badge ${statusClass[check.status] || ''}`, `database ${check.status}`),
      pool.state === 'active' ? null : make('strong', 'badge warning', pool.state),
      make('span', 'quiet', server)),
    ...connectionBar(figures),
    figureList([
      ['in use', textOfPercent(figures.utilization_percent), figures.utilization_percent > 90],
      ['waiting', textOfNumber(figures.waiting), figures.waiting > 5],
      ['statements/s', textOfNumber(rate.statements_per_second)],
      ['errors/s', textOfNumber(rate.errors_per_second), rate.errors_per_second > 0],
      ['retries/s', textOfNumber(rate.retries_per_second)],
      ['sessions', textOfNumber(figures.sessions)],
      ['connects/s', textOfNumber(rate.connections_opened_per_second)],
      ['errors in all', textOfNumber(figures.errors_total)],
    ]));
  if (performance) card.append(latencyTable(performance));
  if (figures.lanes.length > 0) card.append(laneTable(figures.lanes));
  if (figures.last_error) {
    card.append(make('p', 'quiet', `Last error, ${
      textOfTime(figures.last_error_time)}: ${figures.last_error}`));
  }
  return card;
}

function showStatements(statements) {
  byId('statements-section').hidden = statements.length === 0;
  byId('statements').replaceChildren(table('The longest first',
    ['', 'pool', 'state', 'waited', 'ran', 'by'],
    statements.map((one) => [one.sql || one.fingerprint || `${one.id}`, one.pool,
      textOfWord(one.state), textOfSeconds(one.waited_seconds), textOfSeconds(one.ran_seconds),
      (one.tags && one.tags.caller) || ''])));
}

function showSessions(sessions) {
  byId('sessions-section').hidden = sessions.length === 0;
  byId('sessions').replaceChildren(table('The oldest first',
    ['', 'pool', 'kind', 'open', 'idle', 'statements'],
    sessions.map((one) => [(one.tags && one.tags.caller) || one.client_name || `${one.id}`,
      one.pool, textOfWord(one.kind), textOfAge((serverNow() - new Date(one.begin_time)) / 1000),
      textOfSeconds(one.idle_seconds), textOfNumber(one.statements)])));
}

function showSnapshot(snapshot) {
  const {health, rates} = snapshot;
  showHead(health, rates);
  showList('causes', health.causes, (cause) => make('li', '', cause));
  showList('alerts', health.alerts, showAlert);
  showList('recommendations', health.database.recommendations, showRecommendation);
  byId('pools').replaceChildren(
    ...health.database.pools.map((pool) => poolCard(pool, health, rates)));
  showStatements(snapshot.statements || []);
  showSessions(snapshot.sessions || []);
}

// --- Events. ---

const eventsMax = 100;
const eventWords = {
  connection_opened: 'connection opened', connection_closed: 'connection closed',
  connect_failed: 'connect failed', database_up: 'database up', database_down: 'database down',
  session_held: 'session held for long', session_revoked: 'session rolled back',
  listen_lost: 'notifications lost', listen_restored: 'notifications restored',
};
const badEvents = new Set(['connect_failed', 'database_down', 'session_revoked', 'listen_lost']);

let knownEvents = new Map();

function showEvents(events) {
  for (const event of events) knownEvents.set(event.number, event);
  const latest = [...knownEvents.values()].sort((a, b) => b.number - a.number).slice(0, eventsMax);
  knownEvents = new Map(latest.map((event) => [event.number, event]));
  byId('events').replaceChildren(...latest.map((event) => {
    const time = make('time', '', textOfTime(event.time));
    time.dateTime = event.time;
    const what = eventWords[event.kind] || textOfWord(event.kind);
    return make('li', '', time,
      make('span', badEvents.has(event.kind) ? 'trouble' : '', what),
      make('span', 'quiet', event.connection ? `${event.pool} #${event.connection}` : event.pool),
      make('span', 'text', event.text));
  }));
}

// --- Charts. ---

const charts = [
  {title: 'Statements per second', format: textOfNumber,
    lines: [['statements_per_second', 'statements', 'first'],
      ['errors_per_second', 'errors', 'second']]},
  {title: 'Connections and calls that wait', format: textOfNumber,
    lines: [['active', 'active', 'first'], ['total', 'open', 'third'],
      ['waiting', 'waiting', 'second']]},
  {title: 'Latency', format: textOfSeconds,
    lines: [['total_p50_seconds', 'p50', 'first'], ['total_p99_seconds', 'p99', 'second']]},
  {title: 'Wait for a connection', format: textOfSeconds,
    lines: [['queue_wait_p50_seconds', 'p50', 'first'],
      ['queue_wait_p99_seconds', 'p99', 'second']]},
  {title: 'Processor', format: textOfPercent, lines: [['cpu_percent', 'used', 'first']]},
  {title: 'Memory', format: textOfBytes, lines: [['resident_bytes', 'resident', 'first']]},
];
const seriesNames = charts.flatMap((chart) => chart.lines.map(([name]) => name));

// In units of the drawing, which is stretched to its place; strokes are not.
const width = 1000;
const height = 100;
const margin = 2;

// Lines where there are values on both sides, a dot where a value stands alone.
function pathsOf(values, place, lineClass) {
  const paths = [];
  let points = [];
  const close = () => {
    if (points.length > 1) {
      paths.push(makeSvg('polyline', {points: points.join(' '), class: lineClass}));
    } else if (points.length === 1) {
      // Of no length: its round ends are the dot.
      paths.push(makeSvg('path', {d: `M${points[0]}h0.01`, class: lineClass}));
    }
    points = [];
  };
  values.forEach((value, i) => {
    if (value === null) close();
    else points.push(place(i, value));
  });
  close();
  return paths;
}

function lastKnown(values) {
  for (let i = values.length - 1; i >= 0; --i) if (values[i] !== null) return values[i];
  return null;
}

function timeLabel(seconds, stretch) {
  const time = new Date(seconds * 1000);
  return stretch > 86400
    ? time.toLocaleDateString([], {month: 'short', day: 'numeric'})
    : time.toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', hour12: false});
}

function drawChart(chart, pool, all) {
  const lines = chart.lines
    .map(([name, label, colour]) => ({label, colour,
      series: all.find((one) => one.name === name && (one.pool === pool || one.pool === ''))}))
    .filter((line) => line.series && line.series.means.length > 0);
  if (lines.length === 0) return null;
  const {series} = lines[0];
  const count = series.means.length;
  const start = Date.parse(series.start_time) / 1000;
  const step = series.step_seconds;
  const top = Math.max(...lines.flatMap((line) => line.series.maxima.map((value) => value ?? 0)),
    0) || 1;
  const x = (i) => margin + (count < 2 ? 0 : i / (count - 1)) * (width - 2 * margin);
  const y = (value) => height - margin - (value / top) * (height - 2 * margin);
  const place = (i, value) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`;

  const svg = makeSvg('svg', {viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none',
    role: 'img'});
  for (const value of [0, top]) {
    svg.append(makeSvg('line', {x1: 0, x2: width, y1: y(value), y2: y(value), class: 'axis'}));
  }
  for (const line of lines) {
    svg.append(...pathsOf(line.series.maxima, place, `largest ${line.colour}`),
      ...pathsOf(line.series.means, place, `line ${line.colour}`));
  }
  const end = start + count * step;
  const times = make('div', 'times', make('span', '', timeLabel(start, count * step)),
    make('span', '', timeLabel(end, count * step)));
  const legend = make('ul', 'legend');
  const showAt = (i) => legend.replaceChildren(...lines.map((line) => {
    const value = i === null ? lastKnown(line.series.means) : line.series.means[i];
    return make('li', line.colour, make('span', '', `${line.label} ${chart.format(value)}`));
  }));
  showAt(null);
  const title = make('h3', '', chart.title);
  const summary = lines.map((line) => `${line.label} now ${
    chart.format(lastKnown(line.series.means))}, at most ${
    chart.format(Math.max(...line.series.maxima.map((value) => value ?? 0)))}`).join('; ');
  svg.setAttribute('aria-label', `${chart.title}: ${summary}`);
  addCursor(svg, count, x, showAt, (i) => {
    title.textContent = i === null ? chart.title
      : `${chart.title}, ${new Date((start + i * step) * 1000).toLocaleString()}`;
  });
  return make('figure', 'card', make('figcaption', '', title, legend),
    make('div', 'quiet', chart.format(top)), svg, times);
}

function addCursor(svg, count, x, ...tell) {
  const cursor = makeSvg('line', {y1: 0, y2: height, class: 'cursor', visibility: 'hidden'});
  svg.append(cursor);
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const i = Math.max(0, Math.min(count - 1, Math.round(share * (count - 1))));
    cursor.setAttribute('x1', x(i));
    cursor.setAttribute('x2', x(i));
    cursor.setAttribute('visibility', 'visible');
    tell.forEach((one) => one(i));
  });
  svg.addEventListener('pointerleave', () => {
    cursor.setAttribute('visibility', 'hidden');
    tell.forEach((one) => one(null));
  });
}

let stretch = 300;
let drawnAt = 0;
const pointsWanted = 300;

function noteHistory(text) {
  byId('history-note').textContent = text;
  byId('history-note').hidden = !text;
}

function drawHistory(history) {
  const pools = [...new Set(history.series.map((one) => one.pool))].filter(Boolean);
  const figures = [];
  for (const chart of charts) {
    const ofProcess = chart.lines.every(([name]) =>
      history.series.some((one) => one.name === name && one.pool === ''));
    for (const pool of ofProcess ? [''] : pools) {
      const titled = pools.length > 1 && pool ? {...chart, title: `${chart.title}: ${pool}`} : chart;
      const figure = drawChart(titled, pool, history.series);
      if (figure) figures.push(figure);
    }
  }
  byId('charts').replaceChildren(...figures);
}

async function loadHistory() {
  const asked = stretch;
  const step = Math.max(1, Math.ceil(asked / pointsWanted));
  drawnAt = Date.now();
  const start = Math.floor(serverNow() / 1000) - asked;
  try {
    const response = await fetch(`api/metrics/history?series=${seriesNames.join(',')}` +
      `&start=${start}&step=${step}&points_max=${pointsWanted + 2}`);
    if (asked !== stretch) return;
    if (response.status === 404) {
      noteHistory('The history is switched off (--history).');
      byId('charts').replaceChildren();
    } else if (response.ok) {
      noteHistory('');
      drawHistory(await response.json());
    } else {
      noteHistory(`The history cannot be had: ${await response.text()}`);
    }
  } catch (error) {
    // The connection is lost, and the banner says so.
  }
}

function maybeLoadHistory() {
  const step = Math.ceil(stretch / pointsWanted);
  // What somebody is reading stays.
  if (document.hidden || document.querySelector('#charts svg:hover')) return;
  if (Date.now() - drawnAt >= Math.max(2, Math.min(step, 60)) * 1000) loadHistory();
}

for (const button of document.querySelectorAll('.choices button')) {
  button.addEventListener('click', () => {
    for (const other of document.querySelectorAll('.choices button')) {
      other.setAttribute('aria-pressed', String(other === button));
    }
    stretch = Number(button.dataset.seconds);
    loadHistory();
  });
}

// --- The connection. ---

const silenceMax = 5000;
const retryAfter = 3000;

let lastHeard = 0;
let lastTry = 0;
let lastPhase = '';
let source = null;

const bannerOfPhase = {
  starting: 'The sidecar is starting: it is opening its connections.',
  lame_duck: 'The sidecar is stopping: it is no longer ready, and still serves.',
  draining: 'The sidecar is stopping: it finishes the calls it has accepted.',
};

function showBanner(text) {
  const banner = byId('banner');
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
}

function showLost() {
  const stopping = lastPhase === 'lame_duck' || lastPhase === 'draining';
  document.body.classList.add('lost');
  byId('status').textContent = stopping ? 'stopped' : 'no connection';
  byId('status').className = 'badge bad';
  document.title = `${byId('status').textContent} – dbsidecar`;
  showBanner(stopping ? 'The sidecar has stopped. This page waits for it to come back.'
    : 'The connection to the sidecar is lost; trying again. The figures below are old.');
}

function hear(snapshot) {
  lastHeard = Date.now();
  clockAhead = Date.parse(snapshot.health.time) - lastHeard;
  lastPhase = snapshot.health.phase;
  document.body.classList.remove('lost');
  showSnapshot(snapshot);
  showBanner(bannerOfPhase[lastPhase] || '');
  maybeLoadHistory();
}

function connect() {
  lastTry = Date.now();
  if (source) source.close();
  source = new EventSource('api/events');
  source.addEventListener('open', () => { knownEvents = new Map(); });
  source.addEventListener('snapshot', (event) => hear(JSON.parse(event.data)));
  source.addEventListener('events', (event) => showEvents(JSON.parse(event.data)));
  source.addEventListener('error', () => {
    showLost();
    // It tries again by itself, but not after an answer that is none.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, retryAfter);
  });
}

setInterval(() => {
  if (!lastHeard || Date.now() - lastHeard <= silenceMax) return;
  showLost();
  // A connection that went without a word does not come back by itself.
  if (Date.now() - lastTry > silenceMax) connect();
}, 1000);

connect();
loadHistory();
