// Opens a real Chromium for a test script, and fails the script for whatever a person would not see but a page must
// not do: errors on the console, broken policies (CSP), requests to other hosts, answers of the 5xx kind.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(join(setting('JOTGATE_E2E_MODULES'), 'script.js'));
const { chromium } = require('playwright-core');

/** Where the server under test listens. */
export const url = process.env.JOTGATE_E2E_URL;

const SWITCHES = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/**
 * Runs `test({ page, context, shot, accessible })` in a fresh browser.
 *
 * options.context    what Playwright's newContext takes: `javaScriptEnabled`, `colorScheme`, `viewport`…
 * options.hosts      names that lead to this machine besides localhost, such as `*.example.test`
 * options.switches   further switches of Chromium
 * options.profile    preferences of the browser's profile, such as what a person set for cookies
 * options.expected   patterns of complaints that this test causes on purpose
 */
export async function browse(test, { context: settings = {}, hosts = [], switches = [], profile, expected = [] } = {}) {
  // Every other name leads nowhere: nothing of a test leaves this machine.
  const rules = [...hosts.map((host) => `MAP ${host} 127.0.0.1`), 'MAP * ~NOTFOUND', 'EXCLUDE localhost', 'EXCLUDE 127.0.0.1'];
  const launch = {
    executablePath: setting('JOTGATE_E2E_CHROMIUM'),
    args: [...SWITCHES, `--host-resolver-rules=${rules.join(',')}`, ...switches],
  };
  const view = { viewport: { width: 1280, height: 800 }, ...settings };
  const folder = profile && withProfile(profile);
  const opened = folder
    ? await chromium.launchPersistentContext(folder, { ...launch, ...view })
    : await chromium.launch(launch);
  const complaints = [];
  try {
    const context = folder ? opened : await opened.newContext(view);
    context.setDefaultTimeout(10_000);
    watch(context, complaints);
    const page = await context.newPage();
    await test({
      page,
      context,
      shot: (name, of = page) => shot(name, of),
      accessible: (of = page) => {
        check(settings.javaScriptEnabled !== false, 'accessible() runs a script in the page: check it in a test with JavaScript');
        return accessible(of, complaints);
      },
    });
  } finally {
    await opened.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
  const unexpected = complaints.filter((complaint) => !expected.some((pattern) => pattern.test(complaint)));
  if (unexpected.length > 0) throw new Error(`the pages did what they must not:\n  ${unexpected.join('\n  ')}`);
}

function withProfile(profile) {
  const folder = mkdtempSync(join(tmpdir(), 'jotgate-e2e-profile-'));
  mkdirSync(join(folder, 'Default'));
  writeFileSync(join(folder, 'Default', 'Preferences'), JSON.stringify({ profile }));
  return folder;
}

/**
 * The back button. Chromium refuses it ("Not attached to an active page") while it still swaps the page of the last
 * navigation in, which a person cannot be quick enough to meet; then it is pressed again.
 */
export async function back(page) {
  for (let tries = 1; ; tries += 1) {
    try {
      await page.waitForLoadState('load');
      return await page.goBack();
    } catch (error) {
      if (tries === 20 || !String(error).includes('Not attached to an active page')) throw error;
      await page.waitForTimeout(100);
    }
  }
}

/** Fails with `what` unless `fact` holds. */
export function check(fact, what) {
  if (!fact) throw new Error(what);
}

function watch(context, complaints) {
  context.on('console', (message) => {
    const text = message.text();
    // A refusal is logged as an error by the browser itself; the script judges the status.
    const refusal = /^Failed to load resource: the server responded with a status of 4/.test(text);
    if (message.type() === 'error' && !refusal) complaints.push(`console: ${text}`);
  });
  context.on('weberror', (error) => complaints.push(`script: ${error.error()}`));
  context.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // Leaving a page ends its requests.
    if (why !== 'net::ERR_ABORTED') complaints.push(`request: ${request.url()}: ${why}`);
  });
  context.on('response', (response) => {
    if (response.status() >= 500) complaints.push(`answer: ${response.url()}: ${response.status()}`);
  });
}

/** A picture of the whole page, to be looked at by a person. */
async function shot(name, page) {
  const folder = setting('JOTGATE_E2E_SHOTS');
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** Checks the page against WCAG 2.2 A and AA as far as a program can (labels, names, contrast, structure). */
async function accessible(page, complaints) {
  // Evaluated from outside, the checker needs no leave by the page's policy.
  await page.evaluate(readFileSync(require.resolve('axe-core'), 'utf8'));
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await page.evaluate((tags) => globalThis.axe.run({ runOnly: tags }), tags);
  for (const { id, help, nodes } of violations) {
    complaints.push(`accessibility: ${page.url()}: ${id}: ${help}: ${nodes.map((node) => node.html).join(' ')}`);
  }
}

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these scripts are started by the tests in e2e/`);
  return value;
}
