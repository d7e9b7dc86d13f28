/** The page in Chromium, on SwiftShader where there is no GPU: every backend before a few cases, by mouse and by keys. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OpenedPage, type ServedPage, screens, servePage } from '../page-in-chromium.ts';

let served: ServedPage;

beforeAll(async () => {
  served = await servePage(import.meta.dirname, ['--enable-unsafe-webgpu']);
}, 120_000);
afterAll(() => served?.close());

const spoken = (page: OpenedPage['page']) => page.locator('main output').textContent();

async function runUntilDone(page: OpenedPage['page']): Promise<string> {
  await page.click('button[type=submit]');
  await expect.poll(() => spoken(page), { timeout: 240_000 }).toMatch(/^(Done|Stopped)/);
  return (await spoken(page))!;
}

describe.each(screens)('%s', (name, screen) => {
  let opened: OpenedPage;
  let page: OpenedPage['page'];
  beforeAll(async () => {
    opened = await served.open(screen);
    page = opened.page;
    await page.waitForSelector('button[type=submit]:enabled');
  }, 60_000);
  afterAll(async () => {
    await opened.photograph(`backends ${name} stopped`);
    await page.close();
  });

  test('says what this browser has, and why it lacks the rest', async () => {
    for (const backend of ['reference', 'wasm-baseline', 'wasm', 'wasm-threads', 'webgpu', 'gpujs']) {
      expect(await page.isChecked(`input[name="${backend}"]`), backend).toBe(true);
    }
    expect(await page.textContent('label:has(input[name=webgpu])')).toMatch(/on .*swiftshader/i);
    expect(await page.textContent('label:has(input[name=gpujs])')).toMatch(/on .*swiftshader/i);
    const half = page.locator('label:has(input[name=webgpu-f16])');
    if (await half.locator('input').isDisabled()) {
      expect(await half.textContent()).toContain('"shader-f16" expected a feature of the adapter, got none.');
    }
  });

  test('asks for a backend when none is ticked', async () => {
    for (const box of await page.locator('fieldset input:enabled').all()) await box.uncheck();
    await page.click('button[type=submit]');
    expect(await spoken(page)).toBe('Tick a backend first.');
    for (const box of await page.locator('fieldset input:enabled').all()) await box.check();
  });

  test('every backend answers, and passes its cases', async () => {
    await page.selectOption('select[name=level]', 'attention');
    const ticked = await page.locator('fieldset input:checked').count();
    expect(await runUntilDone(page)).toBe(`Done: ${5 * ticked} of ${5 * ticked} verdicts pass.`);
    expect(await page.locator('article').count()).toBe(ticked);
    for (const article of await page.locator('article').all()) {
      expect(await article.textContent()).toContain('The checkpoint answers “31C”');
      expect(await article.locator('tbody tr').allTextContents()).toEqual([
        expect.stringMatching(/^attention5 of 50\d\.\de-\d/),
      ]);
    }
    expect(await page.evaluate("document.querySelector('progress').value")).toBe(1);
    await opened.photograph(`backends ${name}`);
  }, 300_000);

  test('results can be taken home', async () => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
    expect(download.suggestedFilename()).toBe('longformer-backends.json');
    const { backends } = JSON.parse(await readFile(await download.path(), 'utf8')) as {
      backends: { name: string; state: string; report: { failed: number; run: number } }[];
    };
    expect(backends.map(backend => backend.name)).toContain('webgpu');
    for (const { state, report } of backends) {
      expect([state, report.failed, report.run]).toEqual(['finished', 0, 5]);
    }
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.click('#copy');
    await expect.poll(() => spoken(page)).toBe('Copied.');
    const copied = JSON.parse(await page.evaluate('navigator.clipboard.readText()')) as { backends: unknown };
    expect(copied.backends).toEqual(backends);
  });

  test('stops when it is told to, by keys alone', async () => {
    await page.selectOption('select[name=level]', '');
    await page.selectOption('select[name=every]', '1');
    await page.focus('button[type=submit]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('article tbody tr'); // the first verdicts; focus is on the stop button by now
    await page.keyboard.press('Enter');
    await expect.poll(() => spoken(page), { timeout: 20_000 }).toMatch(/^Stopped: (\d+) of \1 verdicts pass\.$/);
    expect(await page.locator('article').count()).toBe(1);
    expect(await page.textContent('article h3')).toContain('stopped');
    expect(await page.isEnabled('button[type=submit]')).toBe(true);
  }, 60_000);

  test('nothing overflows, nothing fails, nobody else is asked', async () => {
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(screen.viewport.width);
    expect(opened.faults).toEqual([]);
    expect(opened.elsewhere).toEqual([]);
  });
});

describe('a browser that has less, and a case that is not met', () => {
  const id = 'cases/attention/causal/case.json';
  let opened: OpenedPage;

  beforeAll(async () => {
    opened = await served.open({ viewport: { width: 390, height: 800 } }, async page => {
      await page.addInitScript("Object.defineProperty(navigator, 'gpu', { value: undefined })");
      await page.route(served.url, async route => {
        const response = await route.fetch();
        await route.fulfill({ response, headers: { 'content-type': 'text/html' } });
      });
      // Nothing may differ from the expected values: no float32 does that.
      const strict = (await readFile(`conformance/${id}`, 'utf8')).replaceAll(/"(spread|max)": [^,\s]+/g, '"$1": 0');
      const manifest = JSON.parse(await readFile('conformance/manifest.json', 'utf8'));
      manifest.files[id] = createHash('sha256').update(strict).digest('hex');
      await page.route(`**/conformance/${id}`, route => route.fulfill({ body: strict }));
      await page.route('**/conformance/manifest.json', route => route.fulfill({ json: manifest }));
    });
    await opened.page.waitForSelector('button[type=submit]:enabled');
  }, 60_000);
  afterAll(() => opened.page.close());

  test('threads and WebGPU are said to be missing, and are not asked', async () => {
    const text = (name: string) => opened.page.textContent(`label:has(input[name=${name}]:disabled)`);
    expect(await text('wasm-threads')).toContain('Pages must be cross-origin isolated for it; or use one thread.');
    expect(await text('webgpu')).toContain('"navigator.gpu" expected WebGPU, got none.');
  });

  test('the verdict is shown, with the error and what was allowed', async () => {
    const { page } = opened;
    await page.uncheck('input[name=reference]');
    await page.uncheck('input[name=wasm]');
    await page.uncheck('input[name=gpujs]');
    await page.selectOption('select[name=level]', 'attention');
    expect(await runUntilDone(page)).toBe('Done: 4 of 5 verdicts pass; 1 fail.');
    const article = page.locator('#run-wasm-baseline');
    expect(await article.locator('h3').getAttribute('class')).toBe('bad');
    expect(await article.locator('li').allTextContents()).toEqual([
      expect.stringMatching(/^attention\/causal: attentions errs \d\.\de-\d, allowed 0\.0e\+0; attn_output errs/),
    ]);
    await opened.photograph('backends with a failed case');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
  }, 60_000);
});
