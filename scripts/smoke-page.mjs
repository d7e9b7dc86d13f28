// The bundle in dist/ of the working directory, in Chromium: one question to a checkpoint that a web server has. CHROMIUM names the browser.
// A page that gives itself `createKernels` computes on those.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright';
import { preview } from 'vite';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
if (!existsSync(executablePath)) {
  console.log(`bundle: built, not run, because there is no ${executablePath}`);
  process.exit();
}
const server = await preview({ configFile: false, preview: { port: 0 }, logLevel: 'error' });
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
try {
  const page = await browser.newPage();
  const faults = [];
  page.on('pageerror', error => faults.push(error.message));
  await page.goto(server.resolvedUrls.local[0]);
  await page.waitForFunction(() => globalThis.pipeline);
  const text = await page.evaluate(async () => {
    const device = await globalThis.createKernels?.();
    const answer = await globalThis.pipeline('question-answering', `${location.origin}/needle-qa`, { device });
    const context =
      'The access code of Delia is 31C. A visitor left two glass plates. The access code of Oskar is 48K.';
    const best = await answer('What is the access code of Oskar?', context);
    await answer.dispose();
    return `${context.slice(best.start, best.end)} on ${device?.name ?? 'wasm'}`;
  });
  if (!text.startsWith('48K on ') || faults.length > 0)
    throw new Error(`the page answered ${text}; ${faults.join('; ')}`);
  console.log(`bundle in Chromium ${browser.version()}: ok: ${text}`);
} finally {
  await browser.close();
  await server.close();
}
