/** The page in Chromium: built, served, used by mouse and by keys, on a screen and on a phone, in light and in dark. */
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright';
import { build, type PreviewServer, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('.', import.meta.url));
/** Set it to a folder to look at the pictures. */
const screenshots = process.env.SCREENSHOTS;

let outDir: string;
let server: PreviewServer;
let browser: Browser;
let url: string;

beforeAll(async () => {
  outDir = await mkdtemp(join(tmpdir(), 'page-'));
  await build({ root, configFile: join(root, 'vite.config.ts'), logLevel: 'error', build: { outDir } });
  server = await preview({ root, configFile: join(root, 'vite.config.ts'), build: { outDir }, preview: { port: 0 } });
  url = server.resolvedUrls!.local[0]!;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu'],
  });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await server?.close();
  await rm(outDir, { recursive: true, force: true });
});

const screens = [
  ['wide and light', { width: 1100, height: 900 }, 'light'],
  ['a phone in the dark', { width: 390, height: 800 }, 'dark'],
] as const;

describe.each(screens)('%s', (name, viewport, colorScheme) => {
  let page: Page;
  const faults: string[] = [];
  const elsewhere: string[] = [];
  const spoken = async (section: string): Promise<string> => (await page.textContent(`#${section} > output`)) ?? '';

  beforeAll(async () => {
    page = await browser.newPage({ viewport, colorScheme });
    page.on('pageerror', error => faults.push(error.message));
    page.on('console', message => message.type() === 'error' && faults.push(message.text()));
    page.on('request', request => {
      const address = request.url();
      if (!address.startsWith(url) && !address.startsWith('data:')) elsewhere.push(address);
    });
    await page.goto(url);
  }, 60_000);
  afterAll(async () => {
    if (screenshots) {
      mkdirSync(screenshots, { recursive: true });
      await page.screenshot({ path: join(screenshots, `${name.replaceAll(' ', '-')}.png`), fullPage: true });
    }
    await page.close();
  });

  test('a row is chosen by arrow keys and by a click', async () => {
    expect(await spoken('patterns')).toContain('Token 12 sees');
    await page.focus('#patterns canvas');
    await page.keyboard.press('ArrowDown');
    expect(await spoken('patterns')).toContain('Token 13 sees');
    expect(await spoken('patterns')).toContain('Sliding window: 7 keys, 10–16');
    const first = page.locator('#patterns canvas').first();
    await first.click({ position: { x: 20, y: 2 } });
    expect(await spoken('patterns')).toContain('Token 0 sees — Full, n²: 32 keys, 0–31');
  });

  test('sliders change the pattern', async () => {
    await page.fill('#patterns input[name="keys on each side"]', '1');
    expect(await spoken('patterns')).toContain('Sliding window: 2 keys, 0–1');
  });

  test('the receptive field grows with layers, and a global token makes it everything', async () => {
    expect(await spoken('receptive-field')).toContain('knows of 25 of 97 tokens');
    await page.fill('#receptive-field input[name="layers"]', '8');
    expect(await spoken('receptive-field')).toContain('knows of 49 of 97 tokens');
    await page.check('#receptive-field input[name="first token is global"]');
    expect(await spoken('receptive-field')).toContain('knows of 97 of 97 tokens');
  });

  test('a trained head finds the name of the question', async () => {
    await page.click('#attention button');
    await expect
      .poll(() => spoken('attention'), { timeout: 60_000 })
      .toMatch(/^Answer: 03P\. .*“Renata” in the question/);
    await page.uncheck('#attention input[name="the question has global attention"]');
    await page.click('#attention button');
    await expect.poll(() => spoken('attention'), { timeout: 60_000 }).not.toMatch(/in the question|Reading/);
  }, 120_000);

  test('costs are measured here', async () => {
    await page.click('#cost button');
    await expect.poll(() => spoken('cost'), { timeout: 60_000 }).toContain('16 times the tokens');
    expect(await page.locator('#cost tbody tr').count()).toBe(5);
  }, 120_000);

  test('nothing overflows, nothing fails, nobody else is asked', async () => {
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(viewport.width);
    expect(faults).toEqual([]);
    expect(elsewhere).toEqual([]);
  });
});
