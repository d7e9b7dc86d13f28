/** For tests: a page of this folder, built and served, and a Chromium that opens it. CHROMIUM names the browser. */
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright';
import { build, preview } from 'vite';

/** Set it to a folder to look at the pictures. */
const screenshots = process.env.SCREENSHOTS;

export interface ServedPage {
  readonly browser: Browser;
  readonly url: string;
  /** A tab on the page. prepare: what happens to the tab before it goes there. */
  open(options: BrowserContextOptions, prepare?: (page: Page) => Promise<unknown>): Promise<OpenedPage>;
  close(): Promise<void>;
}

export interface OpenedPage {
  readonly page: Page;
  /** Errors, on the console too. */
  readonly faults: string[];
  /** Requests to other hosts. */
  readonly elsewhere: string[];
  /** A picture of the whole page, if anyone wants pictures. */
  photograph(name: string): Promise<void>;
}

/** args: flags of Chromium. */
export async function servePage(root: string, args: readonly string[]): Promise<ServedPage> {
  const outDir = await mkdtemp(join(tmpdir(), 'page-'));
  const config = { root, configFile: join(root, 'vite.config.ts'), logLevel: 'error', build: { outDir } } as const;
  await build(config);
  const server = await preview({ ...config, preview: { port: 0 } });
  const url = server.resolvedUrls!.local[0]!;
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', ...args],
  });
  return {
    browser,
    url,
    open: (options, prepare) => openPage(browser, url, options, prepare),
    async close() {
      await browser.close();
      await server.close();
      await rm(outDir, { recursive: true, force: true });
    },
  };
}

async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions,
  prepare?: (page: Page) => Promise<unknown>,
): Promise<OpenedPage> {
  const page = await browser.newPage(options);
  const faults: string[] = [];
  const elsewhere: string[] = [];
  page.on('pageerror', error => faults.push(error.message));
  page.on('console', message => message.type() === 'error' && faults.push(message.text()));
  page.on('request', request => {
    const address = request.url();
    if (!address.startsWith(url) && !/^(data|blob):/.test(address)) elsewhere.push(address);
  });
  await prepare?.(page);
  await page.goto(url);
  const photograph = async (name: string): Promise<void> => {
    if (!screenshots) return;
    mkdirSync(screenshots, { recursive: true });
    await page.screenshot({ path: join(screenshots, `${name.replaceAll(' ', '-')}.png`), fullPage: true });
  };
  return { page, faults, elsewhere, photograph };
}

/** A wide screen by day and a phone at night. */
export const screens = [
  ['wide and light', { viewport: { width: 1100, height: 900 }, colorScheme: 'light' }],
  ['a phone in the dark', { viewport: { width: 390, height: 800 }, colorScheme: 'dark' }],
] as const;
