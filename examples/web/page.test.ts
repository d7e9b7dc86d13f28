/** The page in Chromium: built, served, used by mouse and by keys, on a screen and on a phone, in light and in dark. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OpenedPage, type ServedPage, screens, servePage } from '../page-in-chromium.ts';

let served: ServedPage;

beforeAll(async () => {
  served = await servePage(import.meta.dirname, ['--disable-gpu']);
}, 120_000);
afterAll(() => served?.close());

describe.each(screens)('%s', (name, screen) => {
  let opened: OpenedPage;
  let page: OpenedPage['page'];
  const spoken = async (section: string): Promise<string> => (await page.textContent(`#${section} > output`)) ?? '';

  beforeAll(async () => {
    opened = await served.open(screen);
    page = opened.page;
  }, 60_000);
  afterAll(async () => {
    await opened.photograph(name);
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
    await page.focus('#receptive-field canvas');
    await page.keyboard.press('ArrowLeft');
    expect(await spoken('receptive-field')).toContain('token 47 knows');
  });

  test('a trained head finds the name of the question', async () => {
    await page.click('#attention button');
    await expect
      .poll(() => spoken('attention'), { timeout: 60_000 })
      .toMatch(/^Answer: 03P\. .*“Renata” in the question/);
    // The word that looks can be seen in both pictures, which are longer than their boxes.
    expect(await page.locator('#attention .panels').evaluate(box => box.scrollTop)).toBeGreaterThan(0);
    const isSeen = await page.locator('#attention .reading').evaluate(box => {
      const [inside, word] = [box.getBoundingClientRect(), box.querySelector('.query')!.getBoundingClientRect()];
      return word.top >= inside.top && word.bottom <= inside.bottom;
    });
    expect(isSeen).toBe(true);
  }, 120_000);

  test('words and rows are chosen by click and by keys', async () => {
    await page.locator('#attention .reading span', { hasText: 'Irena' }).click();
    expect(await spoken('attention')).toMatch(/“Irena” attends most to/);
    const before = /Token (\d+)/.exec(await spoken('attention'))![1]!;
    await page.focus('#attention canvas');
    await page.keyboard.press('ArrowDown');
    expect(await spoken('attention')).toContain(`Token ${Number(before) + 1} “is”`);
    await page.keyboard.press('Home');
    expect(await spoken('attention')).toContain('Token 0 “<s>” (global) attends most to');
    expect(await page.locator('#attention .reading').evaluate(element => element.scrollTop)).toBe(0);
  });

  test('without global attention the question is seen from nearby only', async () => {
    await page.uncheck('#attention input[name="the question has global attention"]');
    await expect.poll(() => spoken('attention'), { timeout: 60_000 }).not.toMatch(/in the question|\(global\)|Reading/);
  }, 120_000);

  test('a text of the reader: what is cut is said, and nothing is no text', async () => {
    await page.fill('#attention textarea', 'The access code of Renata is 77Q. '.repeat(100));
    await page.click('#attention button');
    await expect
      .poll(() => spoken('attention'), { timeout: 60_000 })
      .toMatch(/^Answer: 77Q\. .* The last \d+ tokens of the text were left out: 600 are read here\.$/);
    await page.fill('#attention textarea', ' ');
    await page.click('#attention button');
    await expect.poll(() => spoken('attention')).toBe('It takes a question and a text.');
  }, 120_000);

  test('costs are measured here', async () => {
    await page.click('#cost button');
    await expect.poll(() => spoken('cost'), { timeout: 60_000 }).toContain('16 times the tokens');
    expect(await page.locator('#cost tbody tr').count()).toBe(5);
    expect(await page.locator('#cost svg').count()).toBe(2); // time and memory
  }, 120_000);

  test('nothing overflows, nothing fails, nobody else is asked', async () => {
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(screen.viewport.width);
    expect(opened.faults).toEqual([]);
    expect(opened.elsewhere).toEqual([]);
  });
});
